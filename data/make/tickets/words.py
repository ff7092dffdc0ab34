"""What tickets are made of: four made-up products, five teams, four priorities, four tones of voice.

Of each list of sentences the first part is for training, what follows after the bar `|` for held-out tickets alone.
The tone says nothing about the priority: an angry customer may have a small problem, and a calm one a large one.
"""

PRODUCTS = {
    "Ledger": "invoice run; tax report; cash book; bank feed; payment batch; expense form; balance sheet | "
    "dunning list; credit note export; annual account",
    "Roster": "shift plan; holiday calendar; time clock; overtime list; staff board; night rota; week plan | "
    "swap market; absence sheet; weekend rota",
    "Vault": "document folder; file share; backup set; scan inbox; archive search; version history; upload page | "
    "signed copy store; retention rule; shared drive",
    "Pulse": "chat channel; video call; meeting room; mail digest; call queue; phone menu; message feed | group call; "
    "voice box; screen share",
}

PROBLEMS = {
    "billing": (
        "We were charged twice for the {thing}.",
        "The invoice for {month} shows {n} seats, but we have {few}.",
        "Our card was debited after we had cancelled the {thing}.",
        "The discount we agreed on is missing from the bill for the {thing}.",
        "Please send the receipt for the {thing} to our accounts department.",
        "The price of the {thing} on the bill is not the one in the contract.",
        "We need to change the billing address before the bill of {month}.",
        "I do not understand the charge of {sum} euros for the {thing}.",
        "The refund for the {thing} has not arrived since {month}.",
        "Can we pay for the {thing} once a year and not every month?",
        "|",
        "Your {month} bill lists the {thing}, which we never ordered.",
        "We paid {sum} euros too much for the {thing}.",
        "The reminder for an unpaid bill is wrong: we paid for the {thing} in {month}.",
    ),
    "access": (
        "{name} cannot log in to the {thing}.",
        "The password link for the {thing} never arrives.",
        "My account is locked after {few} wrong passwords.",
        "{name} has left, please remove the login to the {thing}.",
        "The second factor asks for a code from a phone that {name} has lost.",
        "A new colleague, {name}, needs rights for the {thing}.",
        "We are signed out of the {thing} every {few} minutes.",
        "{name} sees the {thing} but has no permission to change it.",
        "Single sign-on sends us back to the login page of the {thing}.",
        "I have a new mail address and can no longer sign in.",
        "|",
        "The login of {name} is refused, although the password is right.",
        "Nobody of our team may open the {thing}: permission denied.",
        "Please reset the password of {name} for the {thing}.",
    ),
    "faults": (
        "The {thing} stops with error {code}.",
        "The {thing} stays blank after the update.",
        "Since {day} the {thing} has been very slow.",
        "When I press save, the {thing} freezes.",
        "The {thing} shows error {code} and closes.",
        "The app crashes as soon as the {thing} is opened.",
        "The button in the {thing} does nothing.",
        "The {thing} hangs at {n} percent.",
        "The {thing} worked on {day}, now it only shows a grey page.",
        "On the phone the {thing} overlaps the menu and cannot be used.",
        "|",
        "Error {code} again, this time in the {thing}.",
        "The {thing} breaks off in the middle and shows a white page.",
        "After the update of {day} the {thing} no longer starts.",
    ),
    "data": (
        "{n} entries are missing from the {thing}.",
        "The {thing} was deleted by mistake, please restore it.",
        "The numbers in the {thing} do not match our own.",
        "Names in the {thing} were mixed up after the import.",
        "Please restore the {thing} as it was on {day}.",
        "The import into the {thing} left out {n} rows.",
        "All dates in the {thing} are one day off.",
        "The {thing} holds every entry twice.",
        "{name} has overwritten the {thing}, can you bring back the old one?",
        "The export of the {thing} has {n} empty columns.",
        "|",
        "Half of the entries in the {thing} are gone since {day}.",
        "Entries of {name} appear under another name in the {thing}.",
        "The {thing} lost {n} rows during the import.",
    ),
    "advice": (
        "How do I add a column to the {thing}?",
        "Is there a way to print the {thing} on one page?",
        "Can the {thing} be sent to {name} every {day}?",
        "Where do I find the settings of the {thing}?",
        "Which plan do we need for a {thing} with {n} people?",
        "Could you explain how the {thing} is sorted?",
        "Is it possible to link the {thing} with our calendar?",
        "How can I copy the {thing} to another team?",
        "Do you have a guide for the {thing}?",
        "What is the best way to share the {thing} with {name}?",
        "|",
        "How do we set up a second {thing}?",
        "Can I rename the {thing}, and if so, how?",
        "Is there a guide that shows {name} how to use the {thing}?",
    ),
}

IMPACTS = {
    "urgent": (
        "Nobody in our company can work.",
        "Our whole office has stopped.",
        "All {n} customers are waiting and we cannot serve any.",
        "We lose money every minute.",
        "The wages of {n} people must go out today and cannot.",
        "The complete site is down.",
        "Production stands still.",
        "Patients are waiting and we have no other way.",
        "|",
        "Everything has stopped here, all {n} of us.",
        "No one on any site can work.",
    ),
    "high": (
        "Our team of {few} is blocked until this is solved.",
        "We have a deadline tomorrow.",
        "One department cannot do its work.",
        "We work around it by hand, which takes hours.",
        "The auditor comes on {day} and will ask for it.",
        "Several customers have complained.",
        "We need it before the end of the week.",
        "It stops {few} people in our team.",
        "|",
        "{few} colleagues are blocked by it.",
        "There is a deadline on {day}.",
    ),
    "normal": (
        "It affects only me, and I can do other work.",
        "It happens now and then.",
        "We can live with it for some days.",
        "One colleague is affected.",
        "It is annoying but we manage.",
        "Next week is fine.",
        "It costs me a few minutes a day.",
        "Only one of our {n} accounts is affected.",
        "|",
        "We manage, but it costs a few minutes.",
        "I am the only one affected.",
    ),
    "low": (
        "There is no hurry.",
        "Just for my information.",
        "Whenever you have time.",
        "It is only a question of looks.",
        "It would be nice to have one day.",
        "This can wait until next month.",
        "Nothing depends on it.",
        "No need to answer soon.",
        "|",
        "It can wait, there is no hurry at all.",
        "Only if you have time.",
    ),
}

# Tone → (how it opens, how it closes), each drawn at random; "" is nothing.
TONES = {
    "polite": (
        ("Dear support team,", "Good morning,", "Hello and thank you for your help so far.", "Dear colleagues,"),
        ("Many thanks in advance.", "Kind regards, {name}", "Thank you very much.", "With best wishes, {name}"),
    ),
    "neutral": (("", "", "Hello,"), ("", "", "{name}", "Regards, {name}")),
    "angry": (
        ("This is unacceptable.", "I am really tired of this!", "Again!", "What are you doing over there?"),
        ("Fix it!", "I expect better from you.", "We are thinking of leaving.", "Unbelievable."),
    ),
    "terse": (("", "", "fyi:"), ("", "", "thx", "pls fix")),
}

SUBJECTS = {
    "billing": "Bill for {month}; Question about a charge; Payment; Invoice",
    "access": "Login; Account of {name}; Cannot sign in; Access",
    "faults": "Error {code}; Problem with the {thing}; Does not work; Fault report",
    "data": "Wrong data; Missing entries; The {thing} is not right; Please restore",
    "advice": "A question; How to; The {thing}; Help wanted",
    None: "Support request; Your product; Please help; Ticket {n}",  # says nothing about the team
}
