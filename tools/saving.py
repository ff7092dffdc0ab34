"""How JupyterLab reads and saves the notebooks of the course: see `lab` in the Makefile."""

from ipykernel.ipkernel import IPythonKernel
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager


class Contents(AsyncLargeFileManager):
    """Lab writes into a notebook what the kernel says of itself, this machine's version of Python too.

    On disk that is left out. Lab gets it with the notebook, or it would call each one modified as soon as it is open.
    """

    async def get(self, path, content=True, *args, **kwargs):
        model = await super().get(path, content, *args, **kwargs)
        if content and model["type"] == "notebook":
            model["content"]["metadata"]["language_info"] = dict(IPythonKernel.language_info)
        return model

    async def save(self, model, path=""):
        if model["type"] == "notebook" and "content" in model:
            model["content"]["metadata"]["language_info"] = {"name": "python"}
        return await super().save(model, path)
