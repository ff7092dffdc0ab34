"""Clauses of contracts that nobody ever signed: "The Lessee shall return the keys within 30 days of expiry ..."."""

# ruff: noqa: SIM905 - word lists read best as plain text

# Two parties that belong together, the same all through a text: {A} has the rights, {B} the duties.
SAME = ("A", "B")
PAIRS = (
    ("Lessor", "Lessee"), ("Seller", "Buyer"), ("Landlord", "Tenant"), ("Lender", "Borrower"),
    ("Owner", "Contractor"), ("Employer", "Employee"), ("Supplier", "Customer"),
    ("Insurer", "Holder"), ("Licensor", "Licensee"), ("Principal", "Agent"),
)  # fmt: skip
WORDS = {
    "verb": """deliver return inspect maintain insure repair store remove label release transfer replace surrender
        register secure retain ship clean restore mark collect measure assign protect preserve seal examine paint
        weigh sell count mend open watch divide improve fill heat test move lock rent carry clear
        dry""".split(),
    "thing": """premises goods keys equipment deposit records vehicle drawings documents machinery inventory samples
        garden roof furniture archive warehouse tools fence boiler licence software manuscript engine timber cellar
        vessel orchard stable printer house land stock paper tables doors windows books cloth horses carriage
        barn pump gate field bridge road wall floor kitchen tower chapel school shop office bench lamp well
        mill""".split(),
    "event": """termination default notice expiry delivery breach signature renewal payment completion acceptance
        inspection transfer insolvency sale death merger dissolution assignment demand loss arrival departure
        marriage fire war flood repair theft trial""".split(),
    "harm": """loss damage claim liability penalty expense lien defect injury tax interest forfeiture cost debt
        encumbrance nuisance charge fine shortage levy fraud waste delay neglect fault rent rust decay theft
        toll""".split(),
    "right": "rights title remedies privileges powers property claims options authority licences".split(),
    "deed": "Agreement Lease Contract Deed Bond Mortgage Covenant Undertaking Charter Instrument".split(),
    "provision": """Section_{n} Clause_{n} Article_{n} the_foregoing any_prior_agreement Schedule_{n} Paragraph_{n}
        any_custom_of_the_trade Annex_{n} anything_herein""".split(),
}
NUMBERS = {"n": (1, 29), "days": (3, 90), "months": (2, 60), "sum": (100, 9900)}

LEADS = (
    "", "", "", "Subject to {provision}, ", "Upon {event}, ", "In the event of {event}, ",
    "Notwithstanding {provision}, ", "Prior to {event}, ", "In accordance with {provision}, ",
)  # fmt: skip
CLAUSES = (
    "the {B} shall {verb} the {thing}",
    "the {B} shall {verb} and {verb2} the {thing}",
    "the {A} may not {verb} the {thing}",
    "the {A} shall be entitled to {verb} the {thing}",
    "the {B} hereby agrees to {verb} the {thing}",
    "the {B} shall pay to the {A} the sum of {sum} dollars",
    "the {B} shall hold the {A} harmless from any {harm} or {harm2}",
    "the {B} represents and warrants that the {thing} is free of any {harm}",
    "any {harm} arising out of this {deed} shall be borne by the {B}",
    "the {A} may terminate this {deed} by notice of {days} days",
    "the {right} of the {A} shall survive {event}",
    "this {deed} shall continue for a period of {months} months",
)
TAILS = (
    "", " within {days} days of {event}", " at the expense of the {B}", ", notwithstanding {provision}",
    " without the prior written consent of the {A}", ", save as provided in {provision}", " prior to {event}",
    ", provided that the {B} consents", ", and shall {verb2} the {thing2} forthwith",
)  # fmt: skip
NEW_LEADS = ("Save as provided in {provision}, ", "Within {days} days of {event}, ", "Provided that the {A} consents, ")
NEW_CLAUSES = (
    "neither the {A} nor the {B} shall be liable for any {harm}",
    "the {A} reserves the right to {verb} the {thing}",
    "the {thing} shall vest in the {A} free of any {harm}",
)
NEW_TAILS = (" arising out of this {deed}", " upon {event}", ", subject to {provision}")
# A text is two clauses, each of three parts. The second line is for the test alone.
SENTENCES = ((LEADS, CLAUSES, TAILS),) * 2
NEW_SENTENCES = ((NEW_LEADS, NEW_CLAUSES, NEW_TAILS),) * 2
START, END = " ", "."
