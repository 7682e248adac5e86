"""Forecasts of daily demand for many series at once: candidates, choice, calibrated intervals, coherent totals."""
