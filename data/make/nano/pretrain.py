"""`make nano`: corpus, tokenizer, pretraining (resumes where it stopped), saved models, the table of results.

python -m data.make.nano.pretrain [--shards 24] [--work runs/nano]
"""

import argparse
import copy
import json
from pathlib import Path

import torch
from transformers import AutoTokenizer

from data.make.nano.corpus import Corpus
from data.make.nano.tokenizer import train_tokenizer
from data.make.nano.training import Plan, pretrain
from lorakit.lab.places import DATA


def get_tokenizer(corpus: Corpus, folder: Path):
    """The tokenizer in `folder`, trained there first if there is none."""
    if not (folder / "tokenizer.json").exists():
        mixed = corpus.documents("early", -1, 15_000) + corpus.documents("paired", -1, 30_000)
        train_tokenizer([text for _, text in mixed]).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def save_model(model, tokenizer, folder: Path):
    """Weights as fp16 safetensors with config and tokenizer, loadable by AutoModelForCausalLM / AutoTokenizer."""
    copy.deepcopy(model).half().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "float32"  # what from_pretrained gives where no dtype is asked for
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer.save_pretrained(folder)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = Plan()
    parser.add_argument("--work", type=Path, default=Path("runs/nano"), help="working files (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=DATA, help="where nano and nano-early go (default: %(default)s)")
    parser.add_argument(
        "--shards", type=int, default=defaults.shards, help="of 1,048,576 tokens (default: %(default)s)"
    )
    parser.add_argument(
        "--decay", type=int, default=defaults.decay_shards, help="shards of decay (default: %(default)s)"
    )
    parser.add_argument("--peak", type=float, default=defaults.peak, help="learning rate (default: %(default)s)")
    parser.add_argument("--optimizer", choices=("adamw", "muon"), default=defaults.optimizer)
    parser.add_argument("--run", default="run", help="name of the run's folder under --work")
    parser.add_argument("--until", type=int, help="stop at this step, to go on later")
    parser.add_argument("--no-report", action="store_true", help="leave out the table of results")
    args = parser.parse_args(argv)
    corpus = Corpus(args.work / "cache")
    tokenizer = get_tokenizer(corpus, args.work / "tokenizer")
    plan = Plan(shards=args.shards, decay_shards=args.decay, peak=args.peak, optimizer=args.optimizer)
    torch.set_float32_matmul_precision("high")

    def save(model, name):
        save_model(model, tokenizer, args.data / name)

    model = pretrain(corpus, tokenizer, plan, args.work / args.run, save, until=args.until)
    if not args.no_report and not args.until:
        from data.make.nano import card, report

        card.main(["--work", str(args.work)])
        report.main(["--work", str(args.work)])
    return model


if __name__ == "__main__":
    main()
