"""Models of each family of scikit-learn, with arrays as large as such models can have them: tens of MB where
that is quickly fitted. Of each there is a small one, too."""

import warnings

import numpy as np
import scipy.sparse
from sklearn import (cluster, compose, decomposition, discriminant_analysis, ensemble,
                     feature_extraction, gaussian_process, impute, kernel_approximation, kernel_ridge, linear_model,
                     manifold, mixture, naive_bayes, neighbors, neural_network, pipeline, preprocessing,
                     semi_supervised, svm, tree)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401

_RANDOM = np.random.default_rng(0)


def _fitted(model, data, target=None):
    """The model, and a row to ask it about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not fitted well
        model.fit(data, target)
    return model, data[:1]


def _rows(make, rows, columns, classes=2, few=60):
    """Fitted to so many rows and columns, of which each class has equally many rows."""
    def build(small):
        data = _RANDOM.standard_normal((few, min(columns, 50)) if small else (rows, columns))
        return _fitted(make(), data, np.arange(len(data)) % classes)
    return build


def _wide(make):
    """One that has 20 numbers, of classes or targets, for each of 200,000 columns."""
    return _rows(make, 40, 200_000, 20)


def _counts(make):
    """The same of those that want no negative numbers."""
    def build(small):
        data = _RANDOM.integers(0, 3, (40, 50 if small else 200_000)).astype(float)
        return _fitted(make(), data, np.arange(40) % 20)
    return build


def _targets(small):
    return _fitted(linear_model.Ridge(), _RANDOM.standard_normal((40, 50 if small else 200_000)),
                   _RANDOM.standard_normal((40, 20)))


def _noise(make, rows, columns=5):
    """Trees: they grow large on what cannot be learnt. `make` is given whether it shall be small."""
    def build(small):
        data = _RANDOM.standard_normal((60 if small else rows, columns))
        return _fitted(make(small), data, _RANDOM.integers(0, 2, len(data)))
    return build


def _sparse_rows(make):
    def build(small):
        rows = 60 if small else 100_000
        data = scipy.sparse.csr_matrix((_RANDOM.standard_normal(rows * 50), _RANDOM.integers(0, 5000, rows * 50),
                                        np.arange(rows + 1) * 50), (rows, 5000))
        return _fitted(make(), data, np.arange(data.shape[0]) % 2)
    return build


def _sparsified(small):
    model, query = _wide(lambda: linear_model.LogisticRegression(max_iter=1))(small)
    model.coef_[np.abs(model.coef_) < np.median(np.abs(model.coef_))] = 0
    return model.sparsify(), query


def _words(make):
    """Fitted to texts of 500,000 different words."""
    def build(small):
        return _fitted(make(), [" ".join(f"word{number}" for number in range(at, at + 1000))
                                for at in range(0, 3000 if small else 500_000, 1000)])
    return build


def _categories(make, dtype):
    """Fitted to one column of 200,000 different numbers or texts."""
    def build(small):
        count = 50 if small else 200_000
        values = np.arange(count) if dtype is float else [f"category {number}" for number in range(count)]
        return _fitted(make(), np.array(values, dtype)[:, None])
    return build


def _with_gaps(make, rows, columns):
    def build(small):
        data = _RANDOM.standard_normal((60, 10) if small else (rows, columns))
        data[::7, 3] = np.nan
        return _fitted(make(), data)
    return build


def _categorical(small):
    data = np.arange(2000)[:, None] % (5 if small else 2000) + np.zeros((1, 2 if small else 100), int)
    return _fitted(naive_bayes.CategoricalNB(), data, np.arange(2000) % 20)


def _columns():
    return compose.ColumnTransformer([("some", preprocessing.QuantileTransformer(), slice(0, 30))],
                                     remainder=preprocessing.QuantileTransformer(n_quantiles=100))


class Family:
    """One row of the table. `models` has by name what fits it, which is told whether the model shall be small;
    `note` says what each process copies, and who does it."""

    def __init__(self, name, models, note=""):
        self.name, self.models, self.note = name, models, note


_SMALL = "arrays under 256 KiB are read (`min_bytes`)"
_TREES = "`Tree.__setstate__` copies the nodes of each tree ([below](#forests-equal-pages-merged-ksm))"

FAMILIES = [
    Family("linear models", {
        "LogisticRegression": _wide(lambda: linear_model.LogisticRegression(max_iter=1)),
        "SGDClassifier": _wide(lambda: linear_model.SGDClassifier(max_iter=1, tol=None)),
        "LinearSVC": _wide(lambda: svm.LinearSVC(max_iter=1)), "Ridge": _targets,
        "LogisticRegression.sparsify()": _sparsified}),
    Family("discriminant analysis", {
        "LinearDiscriminantAnalysis": _rows(lambda: discriminant_analysis.LinearDiscriminantAnalysis(
            "lsqr", store_covariance=True), 2200, 2000),
        "QuadraticDiscriminantAnalysis": _rows(discriminant_analysis.QuadraticDiscriminantAnalysis, 3200, 1500)}),
    Family("support vector machines", {
        "SVC": _rows(svm.SVC, 500, 10_000), "SVC(probability=True)": _rows(lambda: svm.SVC(probability=True), 300, 10_000),
        "SVR": _rows(svm.SVR, 500, 10_000), "OneClassSVM": _rows(svm.OneClassSVM, 500, 10_000)}),
    Family("nearest neighbours", {
        **{f"KNeighborsClassifier({way})": _rows(lambda way=way: neighbors.KNeighborsClassifier(algorithm=way), 100_000, 50)
           for way in ("brute", "kd_tree", "ball_tree")},
        "KNeighborsClassifier of sparse rows": _sparse_rows(neighbors.KNeighborsClassifier),
        "NearestCentroid": _rows(neighbors.NearestCentroid, 2000, 5000, 1000, 2000),
        "LocalOutlierFactor": _rows(lambda: neighbors.LocalOutlierFactor(novelty=True), 20_000, 50),
        "KernelDensity": _rows(neighbors.KernelDensity, 50_000, 50)},
           f"labels, as {_SMALL}"),
    Family("naive Bayes", {
        "GaussianNB": _wide(naive_bayes.GaussianNB), "MultinomialNB": _counts(naive_bayes.MultinomialNB),
        "ComplementNB": _counts(naive_bayes.ComplementNB), "BernoulliNB": _counts(naive_bayes.BernoulliNB)}),
    Family("categorical naive Bayes", {"CategoricalNB": _categorical}),
    Family("Gaussian processes, kernel ridge", {
        "GaussianProcessRegressor": _rows(
            lambda: gaussian_process.GaussianProcessRegressor(optimizer=None, alpha=1e-3), 2500, 10),
        "GaussianProcessClassifier": _rows(
            lambda: gaussian_process.GaussianProcessClassifier(optimizer=None), 1500, 10),
        "KernelRidge": _rows(lambda: kernel_ridge.KernelRidge(kernel="rbf"), 1000, 5000)}),
    Family("neural networks", {
        "MLPClassifier": _noise(lambda small: neural_network.MLPClassifier(
            (10 if small else 1500,) * 2, max_iter=1), 200, 1000),
        "BernoulliRBM": _counts(lambda: neural_network.BernoulliRBM(20, n_iter=1))}),
    Family("decompositions", {
        "PCA": _rows(lambda: decomposition.PCA(20), 60, 200_000),
        "TruncatedSVD": _rows(lambda: decomposition.TruncatedSVD(20), 60, 200_000),
        "NMF": _counts(lambda: decomposition.NMF(20, init="random", max_iter=2)),
        "LatentDirichletAllocation": _counts(lambda: decomposition.LatentDirichletAllocation(20, max_iter=1)),
        "FastICA": _rows(lambda: decomposition.FastICA(20, max_iter=2), 60, 200_000),
        "FactorAnalysis": _rows(lambda: decomposition.FactorAnalysis(20, max_iter=2), 60, 200_000),
        "KernelPCA": _rows(lambda: decomposition.KernelPCA(20, kernel="rbf"), 1000, 5000),
        "MiniBatchDictionaryLearning": _rows(lambda: decomposition.MiniBatchDictionaryLearning(
            20, max_iter=1, batch_size=20), 60, 200_000)}),
    Family("clusterers, mixtures", {
        "KMeans": _rows(lambda: cluster.KMeans(20, n_init=1, max_iter=2), 60, 200_000),
        "MiniBatchKMeans": _rows(lambda: cluster.MiniBatchKMeans(20, n_init=1, max_iter=2), 60, 200_000),
        "AffinityPropagation": _rows(lambda: cluster.AffinityPropagation(max_iter=20), 1500, 500),
        "MeanShift": _rows(lambda: cluster.MeanShift(bandwidth=0.1, max_iter=1), 400, 5000),
        "GaussianMixture": _rows(lambda: mixture.GaussianMixture(2, max_iter=1), 3000, 1000)}),
    Family("manifolds, label spreading", {
        "Isomap": _rows(manifold.Isomap, 1500, 100),
        "LocallyLinearEmbedding": _rows(manifold.LocallyLinearEmbedding, 1000, 5000),
        "LabelSpreading": _rows(semi_supervised.LabelSpreading, 2000, 500)}),
    Family("kernel approximations", {
        "Nystroem": _rows(lambda: kernel_approximation.Nystroem(n_components=50), 60, 80_000),
        "RBFSampler": _rows(lambda: kernel_approximation.RBFSampler(n_components=50), 20, 80_000)}),
    Family("scalers, splines", {
        "StandardScaler": _rows(preprocessing.StandardScaler, 20, 1_000_000),
        "QuantileTransformer": _rows(preprocessing.QuantileTransformer, 2000, 4000),
        "SplineTransformer": _noise(lambda small: preprocessing.SplineTransformer(5 if small else 2000), 3000, 100)},
           f"knots of each column, as {_SMALL}"),
    Family("imputers", {
        "SimpleImputer": _with_gaps(impute.SimpleImputer, 20, 200_000),
        "KNNImputer": _with_gaps(impute.KNNImputer, 20_000, 100)}),
    Family("encoders of numbers, of texts with dtype `U`", {
        "OneHotEncoder": _categories(preprocessing.OneHotEncoder, float),
        "OneHotEncoder of texts": _categories(preprocessing.OneHotEncoder, None),
        "OrdinalEncoder of texts": _categories(preprocessing.OrdinalEncoder, None)}),
    Family("pipelines, ensembles of the above", {
        "Pipeline of StandardScaler, LogisticRegression": _wide(lambda: pipeline.make_pipeline(
            preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=1))),
        "ColumnTransformer": _rows(_columns, 2000, 4000),
        "BaggingClassifier of nearest neighbours": _rows(lambda: ensemble.BaggingClassifier(
            neighbors.KNeighborsClassifier(algorithm="brute"), 4), 20_000, 50)}, "as their parts"),
    Family("decision trees, forests", {
        "DecisionTreeClassifier": _noise(lambda _: tree.DecisionTreeClassifier(), 300_000),
        "RandomForestClassifier": _noise(lambda small: ensemble.RandomForestClassifier(2 if small else 20), 60_000),
        "ExtraTreesRegressor": _noise(lambda small: ensemble.ExtraTreesRegressor(2 if small else 10), 60_000),
        "IsolationForest": _noise(lambda small: ensemble.IsolationForest(
            n_estimators=2 if small else 20, max_samples=1.0), 20_000)}, _TREES),
    Family("gradient boosting", {
        "GradientBoostingClassifier": _noise(lambda small: ensemble.GradientBoostingClassifier(
            n_estimators=2 if small else 100, max_depth=12), 20_000)}, _TREES),
    Family("histogram gradient boosting, usual trees", {
        "HistGradientBoostingClassifier": _noise(lambda small: ensemble.HistGradientBoostingClassifier(
            max_iter=2 if small else 300, early_stopping=False), 20_000)}, f"a tree has 3 KiB: {_SMALL}"),
    Family("histogram gradient boosting, trees of 20,000 leaves", {
        "HistGradientBoostingClassifier(max_leaf_nodes=None)": _noise(
            lambda small: ensemble.HistGradientBoostingClassifier(
                max_iter=2 if small else 10, early_stopping=False, max_leaf_nodes=None, min_samples_leaf=1), 100_000, 20)}),
    Family("bins", {
        "KBinsDiscretizer": _rows(lambda: preprocessing.KBinsDiscretizer(50), 100, 2000)},
           f"edges of each column, as {_SMALL}"),
    Family("vocabularies", {"TfidfVectorizer": _words(feature_extraction.text.TfidfVectorizer)},
           "a dict of Python's strings; what is shared is `idf_`"),
    Family("encoders of texts with dtype `object`", {
        "OneHotEncoder": _categories(preprocessing.OneHotEncoder, object),
        "OrdinalEncoder": _categories(preprocessing.OrdinalEncoder, object)}, "Python's strings"),
]
