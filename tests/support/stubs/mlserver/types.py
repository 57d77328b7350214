from dataclasses import dataclass
from typing import Any, Optional


@dataclass
class RequestInput:
    name: str
    shape: list[int]
    datatype: str
    data: Any


@dataclass
class InferenceRequest:
    inputs: list[RequestInput]


@dataclass
class ResponseOutput:
    name: str
    shape: list[int]
    datatype: str
    data: Any


@dataclass
class InferenceResponse:
    model_name: str
    outputs: list[ResponseOutput]
    model_version: Optional[str] = None
