_base_ = "../scl/scl_r50_inat.py"
previous_stage = dict(config="./kcl_r50_inat_stage1.py")
