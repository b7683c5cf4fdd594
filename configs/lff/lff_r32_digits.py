_base_ = "../ce/ce_r32_digits.py"
model = dict(type="LFFClassifier")
custom_hooks = [dict(type="ImageBuffersHook")]
# The form compared in the IFL paper: relative difficulty by the losses of the step, not divided by those of the class.
variants = dict(instant=dict(model=dict(momentum=None)))
