"""What runs in a worker of workers.py: it keeps the model from one task to the next."""

import importlib
import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/python"))
_models = {}


def model_of(module, path):
    if path not in _models:
        options = {"mmap_mode": "r"} if module == "joblib" else {}
        _models[path] = importlib.import_module(module).load(path, **options)
    return _models[path]


def use(module, path):
    """Has this process use the model, and returns its number."""
    model = model_of(module, path)
    model.predict(np.ones((1, model.n_features_in_)))
    time.sleep(0.05)  # others shall get the next tasks
    return os.getpid()
