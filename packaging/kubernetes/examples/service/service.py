"""A model server for gunicorn that maps a linear model from a mount of skopsfs.

    gunicorn --workers 4 --bind 0.0.0.0:8000 service:app

POST a JSON list of rows; GET /ready answers 200 once the model is mapped, with the version it came from. All
workers of the node, in whichever pods, share the pages of the arrays. The model is looked up by name in
every new worker, so after the archive has been replaced (by a rename, as skopsfs.dump does; skops.io.dump over it
breaks those who map it), `kubectl rollout restart` (or gunicorn's HUP)
brings the new one; until then each worker keeps the version that it has.
"""

import json
import os

import numpy

# An archive in the mount. A whole model of any kind: skopsfs.load(MODEL, trusted=[...]), docs/python.md.
MODEL = os.environ.get("MODEL", "/skopsfs/models/model.skops")

coefficients = numpy.load(f"{MODEL}/by-name/coef_.npy", mmap_mode="r")
intercept = numpy.load(f"{MODEL}/by-name/intercept_.npy", mmap_mode="r")


def app(environ, start_response):
    if environ["PATH_INFO"] == "/ready":
        return answer(start_response, {"shape": list(coefficients.shape),
                                       "mapped": isinstance(coefficients, numpy.memmap)})
    try:
        rows = numpy.asarray(json.load(environ["wsgi.input"]), dtype=float)
        scores = rows @ coefficients.T + intercept
    except ValueError as error:  # no JSON, no numbers, or not as many as the model has features
        return answer(start_response, {"error": str(error)}, "400 Bad Request")
    return answer(start_response, scores.tolist())


def answer(start_response, value, status="200 OK"):
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(value).encode()]
