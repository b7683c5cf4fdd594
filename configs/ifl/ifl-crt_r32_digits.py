_base_ = ["./ifl_r32_digits.py", "../_base_/stages/crt.py"]
stage2 = _base_.ifl.digits.stage2
