"""Models of River's own, made small; they are named by their path."""
# mypy: disable-error-code="no-untyped-call,operator"

from typing import Any

from river import (
    compose,
    drift,
    ensemble,
    feature_extraction,
    forest,
    linear_model,
    neighbors,
    optim,
    preprocessing,
    rules,
    tree,
)


def _scaled(regressor: Any) -> Any:
    return preprocessing.StandardScaler() | regressor


def _linear() -> Any:
    return linear_model.LinearRegression(optim.SGD(1e-4))


linear = _scaled(_linear())
sparse = _scaled(linear_model.LinearRegression(optim.SGD(1e-4), l1=0.01))
bayesian = _scaled(linear_model.BayesianLinearRegression())
aggressive = _scaled(linear_model.PARegressor())
hoeffding = _scaled(tree.HoeffdingTreeRegressor(grace_period=20))
adaptive = _scaled(tree.HoeffdingAdaptiveTreeRegressor(grace_period=20, seed=1))
windowed = _scaled(
    tree.HoeffdingAdaptiveTreeRegressor(
        grace_period=20, drift_detector=drift.KSWIN(alpha=0.1, seed=1), seed=1
    )
)
quantised = _scaled(
    tree.HoeffdingTreeRegressor(grace_period=20, splitter=tree.splitter.QOSplitter())
)
random_forest = _scaled(forest.ARFRegressor(n_models=2, grace_period=20, seed=1))
mondrian = _scaled(forest.AMFRegressor(n_estimators=1, seed=1))
extra_trees = _scaled(forest.OXTRegressor(n_models=2, grace_period=20, seed=1))
nearest = _scaled(neighbors.KNNRegressor(engine=neighbors.LazySearch(window_size=50)))
decision_rules = _scaled(rules.AMRules(n_min=20))
bagged = _scaled(ensemble.BaggingRegressor(_linear(), n_models=2, seed=1))
weighted = _scaled(ensemble.EWARegressor([_linear(), linear_model.PARegressor()]))
patches = _scaled(ensemble.SRPRegressor(_linear(), n_models=2, seed=1))
robust = preprocessing.RobustScaler() | _linear()
least_and_most = preprocessing.MinMaxScaler() | _linear()
squared = _scaled(feature_extraction.PolynomialExtender() | _linear())
sampled = _scaled(feature_extraction.RBFSampler(seed=1) | _linear())
standardised = _scaled(preprocessing.TargetStandardScaler(regressor=_linear()))
selected = _scaled(
    (
        compose.Select("variance_32", "drift_6", "activity_168", "season_1")
        + (compose.Select("day_sin", "day_cos") | feature_extraction.PolynomialExtender())
    )
    | _linear()
)
