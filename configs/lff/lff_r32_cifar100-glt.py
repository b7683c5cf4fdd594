_base_ = "../ce/ce_r32_cifar100-glt.py"
model = dict(type="LFFClassifier")
custom_hooks = [dict(type="ImageBuffersHook")]
variants = dict(instant=dict(model=dict(momentum=None)))
