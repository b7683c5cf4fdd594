_base_ = "./cifar100-lt100.py"

dataset_type = "CIFAR10"
data_root = "data/cifar10"
data_preprocessor = dict(num_classes=10)

train_dataloader = dict(dataset=dict(dataset=dict(type=dataset_type, data_root=data_root)))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader

val_evaluator = [dict(type="ShotAccuracy", topk=(1,)), dict(type="CalibrationError")]
test_evaluator = val_evaluator
