"""Estimators in the manner of scikit-learn that train any registered model."""
