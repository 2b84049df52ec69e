"""Domains of universities whose country has no academic suffix: Germany, Switzerland, Liechtenstein.

Elsewhere the suffix says it (`ac.at`, `ac.uk`, `edu`), or nothing does: the Netherlands and France have neither.
"""

from typing import Final

UNIVERSITIES: Final = frozenset(
    f"{name}.{country}"
    for country, names in {
        "de": """
            b-tu europa-uni fau fernuni-hagen fh-aachen fu-berlin haw-hamburg hhu hs-mannheim htw-berlin hu-berlin
            leuphana lmu ovgu rptu rub ruhr-uni-bochum rwth-aachen th-koeln th-nuernberg tu-berlin tu-braunschweig
            tu-chemnitz tu-clausthal tu-darmstadt tu-dortmund tu-dresden tu-freiberg tu-ilmenau tuhh tum uni-augsburg
            uni-bamberg uni-bayreuth uni-bielefeld uni-bonn uni-bremen uni-due uni-duesseldorf uni-erfurt uni-erlangen
            uni-frankfurt uni-freiburg uni-giessen uni-goettingen uni-greifswald uni-halle uni-hamburg uni-hannover
            uni-heidelberg uni-hildesheim uni-hohenheim uni-jena uni-kassel uni-kiel uni-kl uni-koblenz uni-koeln
            uni-konstanz uni-leipzig uni-luebeck uni-mainz uni-mannheim uni-marburg uni-muenchen uni-muenster
            uni-oldenburg uni-osnabrueck uni-paderborn uni-passau uni-potsdam uni-regensburg uni-rostock uni-saarland
            uni-siegen uni-stuttgart uni-trier uni-tuebingen uni-ulm uni-vechta uni-weimar uni-wh uni-wuerzburg
        uni-wuppertal unibw """,
        "ch": """
            bfh epfl ethz fhgr fhnw hes-so hslu ost supsi unibas unibe unifr unige unil unilu unine unisg usi uzh zhaw
        """,
        "li": "uni",
    }.items()
    for name in names.split()
)
