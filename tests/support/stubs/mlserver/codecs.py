from typing import Any, Optional

import numpy

from .types import InferenceRequest, InferenceResponse, ResponseOutput


class RequestCodec:
    @classmethod
    def decode_request(cls, request: InferenceRequest) -> Any:
        raise NotImplementedError

    @classmethod
    def encode_response(cls, model_name: str, payload: Any, model_version: Optional[str] = None) -> InferenceResponse:
        raise NotImplementedError


class NumpyRequestCodec(RequestCodec):
    @classmethod
    def decode_request(cls, request: InferenceRequest) -> Any:
        return numpy.array(request.inputs[0].data).reshape(request.inputs[0].shape)

    @classmethod
    def encode_response(cls, model_name: str, payload: Any, model_version: Optional[str] = None) -> InferenceResponse:
        output = ResponseOutput("output-1", list(payload.shape), "FP64", payload.ravel().tolist())
        return InferenceResponse(model_name, [output], model_version)
