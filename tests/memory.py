"""The most memory that a process of its own has needed, for scripts that tests run."""

PEAK = '''
def peak():
    """KiB. Not ru_maxrss, which begins at what the parent has used: beside a large pytest nothing would ever grow."""
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
'''
