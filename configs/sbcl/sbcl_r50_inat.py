_base_ = "../baselines/scl/scl_r50_inat.py"
previous_stage = dict(config="./sbcl_r50_inat_stage1.py")
