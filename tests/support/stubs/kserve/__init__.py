"""A stand-in for what packaging/examples/kserve uses of KServe: the signatures are those of its documentation, of version
0.20; the little that they do is enough for test_examples.py."""

from typing import Any, Optional, Union

from . import model_server as model_server
from .infer_type import InferRequest as InferRequest, InferResponse as InferResponse
from .model_server import ModelServer as ModelServer


class Model:
    def __init__(self, name: str, return_response_headers: bool = False) -> None:
        self.name, self.ready = name, False

    def load(self) -> bool:
        raise NotImplementedError

    async def predict(self, payload: Union[dict[str, Any], InferRequest], headers: Optional[dict[str, str]] = None,
                      response_headers: Optional[dict[str, str]] = None) -> Union[dict[str, Any], InferResponse]:
        raise NotImplementedError
