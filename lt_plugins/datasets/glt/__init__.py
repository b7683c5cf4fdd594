"""Generalized long-tailed (GLT) benchmarks: how their splits are drawn and stored; no OpenMMLab."""
