"""A stand-in for what packaging/examples/mlserver uses of MLServer: the signatures are those of its documentation, of version
1.7; the little that they do is enough for test_examples.py."""

from typing import Any, Optional

from .codecs import RequestCodec
from .types import InferenceRequest, InferenceResponse


class ModelParameters:
    def __init__(self, uri: Optional[str] = None) -> None:
        self.uri = uri


class ModelSettings:
    def __init__(self, name: str, parameters: Optional[ModelParameters] = None) -> None:
        self.name, self.parameters = name, parameters


class MLModel:
    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self.ready = False

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def version(self) -> Optional[str]:
        return None

    @property
    def settings(self) -> ModelSettings:
        return self._settings

    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        raise NotImplementedError

    def decode_request(self, inference_request: InferenceRequest,
                       default_codec: Optional[type[RequestCodec]] = None) -> Any:
        return default_codec.decode_request(inference_request) if default_codec else inference_request

    def encode_response(self, payload: Any, default_codec: Optional[type[RequestCodec]] = None) -> InferenceResponse:
        if not default_codec:
            raise TypeError("no codec")
        return default_codec.encode_response(self.name, payload, self.version)
