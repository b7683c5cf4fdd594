# OLTR on a network of LFME: experts and student are trained as the first stage of OLTR, whose second one is stage 5.
_base_ = ["../oltr/oltr_r152_places-lt.py", "../_base_/stages/lfme_student.py"]
model = dict(head=dict(type="ClassSubsetHead"))
# Classes with 100 images are many-shot, and with 20 few-shot.
class_subset = dict(keep="many", many_threshold=99, few_threshold=21)
stage2 = dict(_delete_=True, from_scratch=True, class_subset=dict(keep="medium"))
stage3 = dict(from_scratch=True, class_subset=dict(keep="few"))
stage4 = {
    **_base_.lfme_student,
    "model": {
        **_base_.lfme_student["model"],
        "neck": _base_.model["neck"],
        "head": dict(type="LinearHead", init_cfg=_base_.model["head"]["init_cfg"]),
        "curriculum": dict(type="InstanceCurriculum", scales="logits", full_at=0.5, extrapolate=True),
    },
}
stage5 = _base_.stage2
