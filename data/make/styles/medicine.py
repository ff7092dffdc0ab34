"""Notes on patients who never were: "Pt. is a 63 y/o man with cough x 4 days. BP 142/88 ...". No advice to anybody."""

# ruff: noqa: SIM905 - word lists read best as plain text

# Who the patient is, the same all through a text.
SAME = ("sex", "He")
PAIRS = (("man", "He"), ("woman", "She")) * 5  # too few to divide: every split has both
WORDS = {
    "complaint": """chest_pain cough fever headache back_pain dizziness nausea rash fatigue vomiting ankle_swelling
        sore_throat knee_pain palpitations blurred_vision weight_loss insomnia hip_pain joint_stiffness tremor
        ear_pain wheezing neck_pain numbness chills hoarseness heartburn cramps itching night_sweats toothache
        leg_cramps cold_hands dry_mouth red_eye foot_pain stomach_ache sneezing thirst weakness""".split(),
    "history": """HTN asthma DM2 gout COPD migraine CAD anemia CHF eczema psoriasis GERD arthritis epilepsy glaucoma
        sciatica hepatitis AFib lupus CKD""".split(),
    "drug": """aspirin ibuprofen metformin lisinopril amoxicillin prednisone atenolol omeprazole insulin codeine
        warfarin digoxin naproxen furosemide cetirizine loratadine albuterol colchicine doxycycline
        paracetamol""".split(),
    "finding": """lungs_clear abdomen_soft no_edema heart_regular skin_warm neck_supple gait_normal throat_red
        pupils_equal no_murmur knee_swollen mild_wheeze joints_tender no_fever reflexes_brisk ears_clear no_bruising
        pulse_weak tongue_dry calf_tender eyes_red hands_cold legs_swollen voice_weak nose_clear back_straight
        skin_pale liver_firm feet_warm no_rash""".split(),
    "test": """CBC ECG CXR BMP urinalysis TSH MRI echo spirometry lipids CT glucose ultrasound ferritin biopsy EEG
        culture troponin LFTs X-ray""".split(),
    "when": "daily b.i.d. q.d. t.i.d. p.r.n. q.h.s. weekly q.6h. p.c. nightly".split(),
}
NUMBERS = {
    "age": (19, 92), "n": (2, 14), "sys": (98, 179), "dia": (58, 99), "hr": (55, 118), "temp": (97, 103),
    "tenth": (0, 9), "mg": (5, 500), "wk": (1, 8), "sat": (88, 99),
}  # fmt: skip

WHO = ("Pt. is a {age} y/o {sex}", "Pt. is a {age} y/o {sex}", "{age} y/o {sex}", "{age} y/o {sex} w/ {history}")
WHY = (
    " with {complaint} x {n} days", " c/o {complaint} and {complaint2}", ", here for {complaint}",
    " presents w/ {complaint} x {n} wks", " w/ worsening {complaint}",
)  # fmt: skip
MORE = ("", "{He} denies {complaint}", "No {complaint} or {complaint2}", "Hx of {history} and {history2}")
VITALS = (
    "BP {sys}/{dia}, HR {hr}", "BP {sys}/{dia}, HR {hr}, temp {temp}.{tenth}", "BP {sys}/{dia}, sat {sat} %",
    "Vitals: BP {sys}/{dia}, HR {hr}",
)  # fmt: skip
EXAM = ("Exam: {finding}, {finding2}", "On exam: {finding}", "O/E: {finding}, {finding2}", "{test} normal, {finding}")
PLAN = (
    "Plan: {drug} {mg} mg {when}, f/u in {wk} wks", "Plan: {test}, start {drug} {mg} mg {when}",
    "Plan: d/c {drug}, order {test}, f/u p.r.n.", "Plan: {test} and {test2} today; continue {drug}",
)  # fmt: skip
NEW_WHO = ("F/u visit, pt. is {age} y/o", "{sex}, {age} y/o, hx of {history}")
NEW_WHY = (", denies {complaint}, still c/o {complaint2}", ", {complaint} improved on {drug}")
NEW_EXAM = ("HR {hr}, BP {sys}/{dia}, {finding}", "{finding}, {finding2} on exam; BP {sys}/{dia}")
NEW_PLAN = ("Continue {drug} {mg} mg {when} x {n} days, order {test}", "F/u in {wk} wks w/ {test}; d/c {drug}")
# A text is who comes and why, perhaps more, what is measured and found, what is done. The second is for the test alone.
SENTENCES = ((WHO, WHY), (MORE,), (VITALS,), (EXAM,), (PLAN,))
NEW_SENTENCES = ((NEW_WHO, NEW_WHY), (NEW_EXAM,), (NEW_PLAN,))
START, END = " ", "."
