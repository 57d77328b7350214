from typing import Any, Union

import numpy

from ..infer_type import InferRequest, InferResponse


def get_predict_input(payload: Union[dict[str, Any], InferRequest]) -> Any:
    if isinstance(payload, InferRequest):
        raise NotImplementedError
    return numpy.array(payload["instances"])


def get_predict_response(payload: Union[dict[str, Any], InferRequest], result: Any,
                         model_name: str) -> Union[dict[str, Any], InferResponse]:
    return {"predictions": result.tolist()}
