"""Everything on another device than the CPU: the core's tests with LORAKIT_TEST_DEVICE=cuda, LoRA by hand on a GPU."""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

IN_PLACE = {getattr(torch.Tensor, name) for name in ("normal_", "uniform_", "random_", "bernoulli_", "exponential_")}


class OnDevice(TorchFunctionMode):
    """Tensors are made on `device` where a call names none. What a CPU generator draws is drawn on the CPU and moved.

    As `with torch.device(...)`, which refuses a CPU generator: but then the numbers are the same on every device.
    """

    def __init__(self, device: str | torch.device):
        super().__init__()
        self.device = torch.device(device)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        generator = kwargs.get("generator")
        from_cpu = isinstance(generator, torch.Generator) and generator.device.type == "cpu"
        if function in _device_constructors() and kwargs.get("device") is None:
            if not from_cpu:
                return function(*args, **kwargs | {"device": self.device})
            return function(*args, **kwargs | {"device": "cpu"}).to(self.device)
        if function in IN_PLACE and from_cpu and args[0].device.type != "cpu":
            return args[0].copy_(function(args[0].cpu(), *args[1:], **kwargs))
        return function(*args, **kwargs)
