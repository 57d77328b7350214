class InferRequest:
    pass


class InferResponse:
    pass
