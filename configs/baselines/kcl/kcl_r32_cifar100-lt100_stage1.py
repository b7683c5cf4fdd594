_base_ = "../scl/scl_r32_cifar100-lt100_stage1.py"
model = dict(head=dict(loss=dict(_delete_=True, type="KCLLoss", num_positives=6, temperature=0.1)))
