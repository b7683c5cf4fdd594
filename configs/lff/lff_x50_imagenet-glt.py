# As compared in the IFL paper; :official is the form of the LfF paper.
_base_ = "../ce/ce_x50_imagenet-glt.py"
model = dict(type="LFFClassifier", momentum=None)
variants = dict(official=dict(model=dict(momentum=0.7), custom_hooks=[dict(type="ImageBuffersHook")]))
