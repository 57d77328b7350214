import argparse
import asyncio
from typing import Any

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--model_name", default="model")


class ModelServer:
    def start(self, models: list[Any]) -> None:
        """Answers one request of each, on standard output."""
        for model in models:
            print(model.name, model.ready, asyncio.run(model.predict({"instances": [[1, 1]]})))
