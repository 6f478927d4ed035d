"""Indicators: named numbers over all that the centre keeps, each with a target, a trend and the rows behind it.

    Indicator   what is counted, over which rows, for whom it is good or bad (`model`)
    Rows        where rows come from: a statement, or what is known of the moment (`sources`, `snapshot`)
    Computer    values, lights and pages of rows for one audience (`compute`)
    records     targets, newest values and their series

An *audience* is everybody who may see the same; each has its own value and its own series, so that no number tells
of what somebody may not see. Indicators are declared where their rows are: here for alarms, incidents, tasks and the
centre itself, in `thap.services.reports.indicators`, and in each domain's `indicators.py`.
"""
