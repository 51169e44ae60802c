"""The sources of text: what they are called, which packages hold them, who aligns them, under which licence."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from corpus.sources import descriptions, ding, guides, handbooks, libreoffice_help, libreoffice_ui, manpages


@dataclass(frozen=True)
class Source:
    """A source of text: the ``packages`` it cannot do without and the ``optional`` ones that add to it.

    ``align`` and ``wanted`` (which files of a package it reads) are those of the source's module. A source
    without packages reads the package descriptions that apt has.
    """

    name: str
    title: str
    licence: str
    align: Callable
    wanted: re.Pattern | None = None
    packages: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


DING = Source("ding", "Example sentences of the Ding dictionary", "GPL-2+", ding.align, ding.WANTED, ("trans-de-en",))
LIBREOFFICE_HELP = Source(
    "libreoffice-help",
    "Help pages of LibreOffice",
    "MPL-2.0",
    libreoffice_help.align,
    libreoffice_help.WANTED,
    ("libreoffice-help-de", "libreoffice-help-en-us"),
)
LIBREOFFICE_UI = Source(
    "libreoffice-ui",
    "Messages of LibreOffice's user interface",
    "MPL-2.0",
    libreoffice_ui.align,
    libreoffice_ui.WANTED,
    ("libreoffice-l10n-de",),
)

# The programs and libraries whose manual pages manpages-de translates.
_ORIGINAL_MANUAL_PAGES = """
    acct anacron at autopoint bash biff binkd bsdextrautils bsdgames bsdutils btrfs-progs bzip2 coreutils cpio
    cron cryptsetup ddate diffutils dosfstools e2fsprogs ed eject exif fdisk fdutils file findutils gettext
    gettext-base ghostscript glibc-doc grep groff-base grub-common grub-legacy grub-pc gzip hostname icedax info
    init-system-helpers initscripts install-info iptables irqtop kbd kmod less libblkid-dev libc-bin
    libcrypt-dev libnss-myhostname libnss-mymachines libnss-resolve libnss-systemd libpam-systemd libsane-common
    locales make manpages manpages-dev mount mtools mutt nano ncal ncurses-bin netpbm nfs-common
    nfs-kernel-server openssh-client openssh-known-hosts openssh-server parted perl-base psutils recutils rfkill
    rwho sane-airscan sane-utils scanbd sed sharutils sysstat systemd systemd-boot systemd-container
    systemd-coredump systemd-homed systemd-journal-remote systemd-oomd systemd-resolved systemd-sysv
    systemd-timesyncd systemd-userdbd talkd tar texinfo thinkfan udev usbutils util-linux util-linux-extra
    uuid-dev uuid-runtime vlock vorbis-tools wdiff wodim x11-xserver-utils zstd
""".split()
MANUAL_PAGES = Source(
    "manual-pages",
    "Manual pages",
    "GPL-3+ (translations); that of each program (originals)",
    manpages.align,
    manpages.WANTED,
    manpages.TRANSLATIONS,
    tuple(_ORIGINAL_MANUAL_PAGES),
)
DESCRIPTIONS = Source(
    "package-descriptions",
    "Descriptions of Debian packages and their translations",
    "that of each package described",
    descriptions.align,
)
GUIDES = Source(
    "guides",
    "Guides to Debian",
    "GPL-2+, CC-BY-SA-3.0 and others, by guide",
    guides.align,
    guides.WANTED,
    optional=(
        "apt-doc",
        "debian-faq",
        "debian-faq-de",
        "debian-handbook",
        "debian-history",
        "debian-reference-de",
        "debian-reference-en",
        "debmake-doc",
        "developers-reference",
        "developers-reference-de",
        "harden-doc",
        "installation-guide-amd64",
        "maint-guide",
        "maint-guide-de",
    ),
)
# Those with a hundred pairs or more, and eighty for each megabyte of the package.
_HANDBOOKS = """
    accerciser aisleriot akregator anjuta-common bijiben cantor cervisia cheese-common deja-dup dolphin easytag
    eog epiphany-browser-data evince-common evolution-common file-roller frogr-data gbrainy gdm3 gedit-common
    glabels-data gnome-applets-data gnome-boxes gnome-calculator gnome-commander-data gnome-devel-docs
    gnome-dictionary gnome-robots gnome-system-monitor gnome-terminal-data gnome-user-docs gnote gparted-common
    gthumb-data gtk-doc-tools gtkmm-documentation gtranslator gucharmap jhbuild juk kaddressbook kalarm
    kalgebra-common kate5-data kbackup kbibtex-data kcachegrind kcalc kde-cli-tools-data kde-spectacle kdesvn
    kdiff3-doc kexi-data kfloppy khelpcenter khotkeys-data kid3 kile-doc killbots kinfocenter kjumpingcube
    kleopatra kmail kmenuedit kmplot kmymoney-common knotes kolf kompare konqueror konsole konsolekalendar
    kontact konversation-data korganizer krusader kspaceduel ksudoku ktimetracker kturtle kubrick kupfer
    kwalletmanager kwave kwin-data mate-user-guide meld ocrfeeder okteta okular orca palapeli-data parlatype
    partitionmanager pitivi pulseeffects rhythmbox-data rocs seahorse shotwell-common simple-scan sound-juicer
    step tellico-doc totem-common umbrello-data zenity-common
""".split()
HANDBOOKS = Source(
    "handbooks",
    "Handbooks of KDE and GNOME programs",
    "GFDL, CC-BY-SA-3.0 and others, by program",
    handbooks.align,
    handbooks.WANTED,
    (handbooks.KDE_ENTITIES,),
    tuple(_HANDBOOKS),
)

QUICK = (DING, LIBREOFFICE_HELP, LIBREOFFICE_UI)
SETS = {"quick": QUICK, "full": (*QUICK, MANUAL_PAGES, DESCRIPTIONS, GUIDES, HANDBOOKS)}

# How many pairs valid and test should have, about, in each set.
HELD_OUT = {"quick": 1800, "full": 3000}
