import signal

from fairseq_ringformer.export.runtime import choose_instructions

# A shell that starts the suite in the background has it ignore SIGINT, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# As whoever runs a converted model does: CTranslate2 reads the environment once, when it is imported.
choose_instructions()
