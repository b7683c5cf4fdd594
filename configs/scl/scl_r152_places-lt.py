_base_ = "../kcl/kcl_r152_places-lt.py"
model = dict(head=dict(loss=dict(_delete_=True, type="SupConLoss", temperature=0.07)))
