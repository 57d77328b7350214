"""A server of KServe for scikit-learn models in a mount of skopsfs, for the container of an InferenceService:

    python3 skops_model.py --model_name=model --model_path=/mnt/skops/model.skops

Each of its workers maps the model, and loads it again once its archive was replaced. docs/kubernetes.md says how a
pod gets the node's mount. Written for KServe 0.20, and not run with it: docs/serving.md.
"""

import argparse
import logging
from typing import Any, Optional, Union

import kserve
import skopsfs
from kserve.utils.utils import get_predict_input, get_predict_response

TRUSTED: list[str] = []  # what skopsfs.get_untrusted_types names, once you have looked at it


class SkopsModel(kserve.Model):
    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._path = path

    def load(self) -> bool:
        self._model = skopsfs.load(self._path, trusted=TRUSTED, require_mapped=True)
        self.ready = True
        return True

    def __getstate__(self) -> dict[str, Any]:  # with --workers KServe hands it to new processes,
        return {name: value for name, value in self.__dict__.items() if name != "_model"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.load()  # each of which maps the model by itself

    async def predict(self, payload: Union[dict[str, Any], kserve.InferRequest],
                      headers: Optional[dict[str, str]] = None, response_headers: Optional[dict[str, str]] = None,
                      ) -> Union[dict[str, Any], kserve.InferResponse]:
        try:
            if skopsfs.changed(self._model):
                self.load()
        except Exception:  # it is gone, or cannot be loaded; the old one goes on
            logging.exception("%s: there is no new model", self._path)
        rows = get_predict_input(payload)
        return get_predict_response(payload, self._model.predict(rows), self.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    parser.add_argument("--model_path", required=True)
    options = parser.parse_args()
    model = SkopsModel(options.model_name, options.model_path)
    model.load()
    kserve.ModelServer().start([model])
