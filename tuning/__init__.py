"""The hyperparameter sweep. KerasTuner is used here alone, and nothing in `cloudkeras` imports this."""
