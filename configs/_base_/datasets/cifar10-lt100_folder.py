_base_ = "./cifar100-lt100_folder.py"

data_root = "data/cifar10"
data_preprocessor = dict(num_classes=10)

train_dataloader = dict(dataset=dict(max_count=5000, dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

val_evaluator = [dict(type="ShotAccuracy", topk=(1,)), dict(type="CalibrationError")]
test_evaluator = val_evaluator
