"""The console script: ``segkit train ...`` is ``python -m segkit.train ...``."""

import runpy
import sys

VERBS = {
    "analyze": "look at the data: faults, balance, weights; check an augmentation",
    "split": "divide the data so that every class is on all sides, and freeze it",
    "convert": "write any data set as index masks and a label space",
    "train": "train a model and measure it",
    "evaluate": "measure a trained model on any part or data",
    "report": "make the page of a run or an evaluation anew",
    "compare": "say whether one run is better than another, and where",
    "predict": "label new pictures with a trained model",
}


def main() -> None:
    """Hand the arguments over to the verb that the first of them names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help", "help"):
        print("segkit VERB [KEY=VALUE ...]\n")
        print("\n".join(f"  {verb:10} {text}" for verb, text in VERBS.items()))
        print("\nsegkit VERB --help tells what a verb takes.")
        return
    if name not in VERBS:
        print(f"segkit: error: there is no verb '{name}'; there are {', '.join(VERBS)}", file=sys.stderr)
        sys.exit(2)
    del sys.argv[1]
    # As `python -m segkit.train` would: processes that Lightning adds are started the same way.
    runpy.run_module(f"segkit.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
