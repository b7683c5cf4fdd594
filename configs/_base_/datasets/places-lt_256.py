# The same lists (`train/airfield/00004851.jpg 0`) with the images as Places365-Standard unpacks them
# (`data_256/a/airfield/00004851.jpg`, `val_256/Places365_val_00000001.jpg`). Lists that already have these paths need
# only places-lt.py.
_base_ = "./places-lt.py"

path_replace = {r"^train/(.)": r"data_256/\1/\1", r"^val/.*/": "val_256/"}

train_dataloader = dict(dataset=dict(path_replace=path_replace))
val_dataloader = dict(dataset=dict(path_replace=path_replace))
test_dataloader = dict(dataset=dict(path_replace=path_replace))
