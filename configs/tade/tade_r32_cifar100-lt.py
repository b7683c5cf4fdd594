_base_ = [
    "../_base_/datasets/cifar100-lt.py",
    "../_base_/pipelines/rotation_cifar.py",
    "../_base_/pipelines/test_views_cifar.py",
    "../_base_/models/experts_r32.py",
    "../_base_/schedules/experts_cifar_200e.py",
    "../_base_/small_images_runtime.py",
]
model = dict(head=dict(loss=dict(type="TADELoss", tau=2.0)))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.rotation_train_pipeline)))
# CONFIG.py:forward50, ...: test sets of other class frequencies, on which tools/posthoc.py weighs the experts.
variants = dict(**_base_.shifted_tests)
