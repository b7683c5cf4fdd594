_base_ = ["./ifl_r32_digits.py", "../_base_/stages/ifl_logit-adjustment.py"]
