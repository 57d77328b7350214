"""A runtime of MLServer for scikit-learn models in a mount of skopsfs: `mlserver start .` in this folder.

model-settings.json names the archive. Each of MLServer's workers maps it, and loads it again once it was
replaced. Written for MLServer 1.7, and not run with it: docs/serving.md.
"""

import logging
from typing import Any

import skopsfs
from mlserver import MLModel
from mlserver.codecs import NumpyRequestCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri

TRUSTED: list[str] = []  # what skopsfs.get_untrusted_types names, once you have looked at it


class SkopsModel(MLModel):
    async def load(self) -> bool:
        self._path = await get_model_uri(self.settings)
        self._model = self._read()
        return True

    def _read(self) -> Any:
        return skopsfs.load(self._path, trusted=TRUSTED, require_mapped=True)

    def _newest(self) -> Any:
        try:
            if skopsfs.changed(self._model):
                self._model = self._read()
        except Exception:  # it is gone, or cannot be loaded; the old one goes on
            logging.exception("%s: there is no new model", self._path)
        return self._model

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = self.decode_request(payload, default_codec=NumpyRequestCodec)
        return self.encode_response(self._newest().predict(rows), default_codec=NumpyRequestCodec)
