"""The rooms that need torch, numpy and scipy alone."""

# What of the package works without OpenMMLab: folders and modules, each a prefix of paths below lt_plugins/.
ROOMS = (
    *("atomic_write.py", "distributed.py", "errors.py", "registry.py", "terminal.py", "unreadable.py"),
    "augmentation/",
    "clustering/",
    "datasets/glt/",
    "datasets/label_cache.py",
    "datasets/labels.py",
    "datasets/leaf_table.py",
    "datasets/samplers/",
    "evaluation/class_table.py",
    "evaluation/functional.py",
    "evaluation/glt_counts.py",
    "evaluation/open_set.py",
    "evaluation/predictions.py",
    "models/batch_augments/",
    "models/covariance/",
    "models/losses/",
    "models/structures/",
    "models/von_mises_fisher/",
    "posthoc/",
)
