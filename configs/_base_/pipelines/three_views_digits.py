# Three light views of a digit, of one kind: a mirrored or strongly turned digit would be another one.
_base_ = "./paco_digits.py"

three_views_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=3, transforms=[_base_.digit_view]),
    dict(type="PackInputs"),
]
