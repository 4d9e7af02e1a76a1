"""English words that say nothing about the work: function words, and the small talk of cooperating agents.

A paraphrase of "I need more context" uses up many different words of this kind. Counting them as news would hide the
loop for dozens of rounds, so they are left out before novelty is measured. Both lists are general English, written by
hand; no trace was counted for them. A caller that has a workflow's own vocabulary can pass more (`LoopCore(common=...)`).
"""

from __future__ import annotations

STEM = 5
"""words are compared by their first five letters: a stemmer good enough for provide/provided/providing"""

FUNCTION_WORDS = frozenset(
    """the a an and or but nor of to in on for with from by as at is are was were be been being am it its this that these
    those i we you he she they them him her his our your their my mine me us not no yes do does did done doing can could
    would should will shall may might must has have had having if so then than there here what which who whom whose when
    where why how all any some each every both either neither more most much many few less least other another such only
    own same too very just also even still yet again now ever never always often about above across after against along
    among around before behind below between beyond during into near off onto out over since through under until up upon
    via within without down let lets because while although though however therefore thus hence else per""".split()  # noqa: SIM905
)

_SMALL_TALK = """need needs want require request ask asking question answer reply respond response provide supply give send
    share show tell say state mention note please kindly thank thanks sorry hello hi dear sure okay ok well right great good
    better best fine nice context information info detail details data background specifics clarify clarification explain
    elaborate describe specify expand additional further extra full complete enough sufficient insufficient missing lack
    lacking unclear clear vague understand know see look check verify confirm ensure make sure help assist able unable
    possible proceed continue start begin move forward next step steps task work working process go ahead carry before
    first second then finally once able appropriate proper properly necessary relevant exact exactly precise precisely
    specific particular certain various different several able think believe seem appears feel expect hope wish like would
    appreciate wait waiting hold moment time soon later back get got getting take taking put come came use using used try
    trying tried find found bring keep run call point points thing things way ways part parts kind lot bit able issue
    matter case regarding concerning related relate respect terms current currently previous previously earlier above
    following latest new recent available given based order able handle deliver return produce prepare submit receive
    received unfortunately apologies apologize afraid cannot without unless stuck happy glad let able simply really
    actually indeed basically rather quite fairly instead perhaps maybe likely probably important follow supplying
    pending scope goal goals aim intent intend purpose assumption assume requirement requirements input output anything
    something everything nothing anyone someone everyone team colleague agent assistant user message text piece pieces
    meaningful useful material concrete little first able good hear know little sense figure short long whole deeper""".split()  # noqa: SIM905

COMMON = frozenset(word[:STEM] for word in _SMALL_TALK)
"""stems of small talk; left out of the novelty measure"""

COURTESIES = frozenset(
    """thank thanks you welcome are very much so again for your help support bye goodbye good day nice great have a wonderful
    lovely evening weekend too see later soon talk take care cheers no problem my pleasure glad happy to the and""".split()  # noqa: SIM905
)
"""words of which thanks and goodbyes are made; a text of nothing else closes a conversation"""
