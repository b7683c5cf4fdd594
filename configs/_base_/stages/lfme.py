# Learning from multiple experts (LFME): stages 1 to 3 are experts of the many-, medium- and few-shot classes (a config
# gives the first its head, ClassSubsetHead), stage 4 is their student.
_base_ = "./lfme_student.py"
class_subset = dict(keep="many")
# Experts fade by the accuracy of the student on validation images; where there are none, a tenth of the training set.
hold_out = dict(val_fraction=0.1, seed=0)
stage2 = dict(from_scratch=True, class_subset=dict(keep="medium"))
stage3 = dict(from_scratch=True, class_subset=dict(keep="few"))
stage4 = _base_.lfme_student
