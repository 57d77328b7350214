"""Each of scikit-learn's estimators, fitted to data that it can be fitted to."""

import inspect
import warnings

import numpy
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils import all_estimators

_POSITIVE = numpy.random.default_rng(1).random((60, 4)) + 0.1
_CLASSES = numpy.arange(60) % 3
_TARGETS = _POSITIVE @ [1.0, 2.0, 3.0, 4.0]
_TEXTS = [f"{word} {word}s are {word} words" for word in "these those some more other texts".split()]

# What estimators may be fitted to, the most usual first.
_DATA = [(_POSITIVE, _CLASSES), (_POSITIVE, _TARGETS), (_POSITIVE, _CLASSES % 2),
         (_POSITIVE, numpy.column_stack([_CLASSES == 0, _CLASSES == 1]).astype(int)),
         (_POSITIVE, numpy.column_stack([_TARGETS, -_TARGETS])), (_POSITIVE[:, 0], _TARGETS),
         (_TEXTS, None), (_CLASSES, None), ([{"a": 1.5, "b": 2.0}, {"a": 0.5}], None),
         ([["a", "b"], ["a"]], None)]

# What those want that cannot be made of nothing: for classes, and for numbers.
_WANTED = {
    "estimator": (LogisticRegression(), Ridge()), "base_estimator": (LogisticRegression(), Ridge()),
    "estimators": ([("a", LogisticRegression()), ("b", LogisticRegression(C=2.0))],
                   [("a", Ridge()), ("b", Ridge(2.0))]),
    "steps": ([("scale", StandardScaler()), ("model", LogisticRegression())],) * 2,
    "transformers": ([("scale", StandardScaler(), [0, 1]), ("rest", "passthrough", [2])],) * 2,
    "transformer_list": ([("scale", StandardScaler())],) * 2,
    "param_grid": ({"fit_intercept": [True, False]},) * 2,
    "param_distributions": ({"fit_intercept": [True, False]},) * 2,
    "dictionary": (numpy.eye(4),) * 2,
}


def _fit(kind):
    wanted = [name for name, parameter in inspect.signature(kind).parameters.items()
              if parameter.default is inspect.Parameter.empty
              and parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    for data, target in _DATA:
        for number in range(2 if wanted else 1):
            try:
                estimator = kind(**{name: _WANTED[name][number] for name in wanted})
                estimator.fit(data) if target is None else estimator.fit(data, target)
                return estimator, data
            except Exception:  # whatever it does not like about these data
                continue
    return kind.__name__, None


def fitted_estimators():
    """Pairs of an estimator and the data that it was fitted to, or of a name and None where none fitted."""
    for _, kind in all_estimators():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            numpy.random.seed(1)
            yield _fit(kind)
