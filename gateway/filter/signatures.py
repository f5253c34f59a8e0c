"""Signs of an attack in a string, as data. Patterns see the canonical spelling: lower case, decoded (canonical.py).

Those with `text` count in names and notes too: hardly anybody writes them without meaning it. Repeats are bounded,
so that no string costs more than a multiple of its length. What they find: docs/request-filter.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Signature:
    """`text` tells whether it counts in free text as well."""

    name: str
    weight: int
    pattern: re.Pattern[str]
    text: bool


def _sign(name: str, weight: int, *patterns: str, text: bool = False) -> Signature:
    return Signature(name, weight, re.compile("|".join(patterns), re.DOTALL), text)


_COMMANDS = (
    r"(?:cat|tac|ls|id|whoami|uname|wget|curl|ncat|netcat|nc|bash|zsh|ksh|dash|sh|python[\d.]*|perl|ruby|php|lua|ping"
    r"|nslookup|dig|ifconfig|ipconfig|netstat|ps|kill|rm|mv|cp|chmod|chown|base64|telnet|socat|openssl|gcc|nmap|ssh"
    r"|powershell|pwsh|cmd|certutil|bitsadmin|tasklist|systeminfo|useradd|passwd|crontab|busybox|awk|sed|xxd|tftp)"
)
_EVENT = r"on[a-z]{3,24}"

SQL: Final = (
    _sign("sql.union", 5, r"\bunion\b[\s(]{1,9}(?:all[\s(]{1,9}|distinct[\s(]{1,9})?select\b", text=True),
    _sign(
        "sql.always_true",
        5,
        r"['\"`)]\s?(?:\bx?or\b|\band\b|\|\||&&|\bhaving\b)\s?(?:not\s)?['\"`(]{0,4}\s?[\w.@-]{1,30}['\"`)]{0,4}\s?"
        r"(?:=|<|>|!=|\blike\b|\bis\b|\bin\b|\bbetween\b)",
        r"\b\d{1,9}['\"`)]?\s?(?:\bor\b|\band\b|\|\||&&)\s?['\"`(]?\d{1,9}['\"`)]?\s?(?:=|<|>|like)\s?['\"`(]?\d",
        text=True,
    ),
    _sign(
        "sql.stacked",
        5,
        r";\s?(?:drop\s(?:table|database|schema|user|view|procedure)|alter\s(?:table|user|database)"
        r"|truncate\stable|create\s(?:table|user|function|trigger|procedure)|insert\sinto\s\w+"
        r"|update\s\w+\sset\s\w+\s?=|delete\sfrom\s\w+\s?(?:;|--|#|$|where)|declare\s@\w|exec(?:ute)?[\s(]{1,3}\w"
        r"|shutdown\b\s?(?:;|--|$|with)|waitfor\s|copy\s\w+\s(?:from|to)\b|select\s.{1,60}[(*])",
        text=True,
    ),
    _sign(
        "sql.delay",
        5,
        r"\b(?:pg_sleep|benchmark|randomblob|dbms_pipe\.receive_message|dbms_lock\.sleep)\s?\(",
        r"\bsleep\s?\(\s?(?:\d+(?:\.\d+)?\s?\)|\()",
        r"\bwaitfor\s(?:delay|time)\s?['\"]",
        text=True,
    ),
    _sign(
        "sql.function",
        5,
        r"\b(?:extractvalue|updatexml|load_file|xp_cmdshell|xp_dirtree|sp_executesql|utl_http\.request"
        r"|utl_inaddr|sys_eval|sys_exec|lo_import|lo_export|group_concat|json_extract|ctxsys\.\w+|xmltype"
        r"|make_set|elt|row|exp|gtid_subset|polygon|multipoint|linestring)\s?\(",
        r"\binto\s(?:out|dump)file\b",
        r"\bprocedure\sanalyse\b",
        r"\bexec\s?\(?\s?(?:master|xp_|sp_)",
    ),
    _sign(
        "sql.schema",
        5,
        r"\b(?:information_schema|sysobjects|syscolumns|sysusers|pg_catalog|pg_shadow|pg_user|sqlite_master"
        r"|mysql\.(?:user|db)|all_tables|user_tables|msysaccessobjects|v\$version|sysibm|rdb\$\w+)\b",
        r"@@(?:version|hostname|datadir|global|servername|spid)",
    ),
    _sign(
        "sql.select",
        5,
        r"\bselect\b.{1,80}\bfrom\b.{1,40}(?:\bwhere\b|\blimit\b|\border\sby\b|\bgroup\sby\b|--|#|;|\)|'|\"|$)",
        r"\(\s?select\b",
        r"\bselect\s(?:\*|count\(|@@|null|\d+\s?,|char\(|concat|user\(|version\()",
        r"\b(?:insert\sinto|delete\sfrom|drop\stable|update\s\w+\sset)\s?\S",
    ),
    _sign(
        "sql.condition",
        5,
        r"\b(?:or|and)\b\s?\(?['\"`]?[\w.]{1,30}['\"`]?\s?(?:=|<>|!=|<=>|\blike\b|\brlike\b|\bregexp\b)\s?['\"`(]?[\w%]",
        r"\b(?:case\swhen|iif\s?\(|if\s?\(\s?\(?\s?(?:select|ascii|length|\d+\s?=))",
        r"\bhaving\s\d+\s?[=<>]",
        r"\b(?:order|group)\sby\s\d{1,4}\b",
        r"'\s?(?:=|<>|!=|>=|<=|\|\||\+)\s?'",
    ),
    _sign(
        "sql.escape",
        3,
        r"['\"`)\d]\s?(?:--|#|/\*|;%00)\s?(?:[-+\w']|$)",
        r"^\s?['\"]\s?(?:or|and|\|\||;|\+|=)",
    ),
    _sign(
        "sql.builtin",
        3,
        r"\b(?:char|chr|ascii|substr|substring|mid|cast|convert|unhex|ord|concat|concat_ws|user"
        r"|database|current_user|version|nvl|ifnull|coalesce|rand|hex|md5|length|count)\s?\(",
    ),
    _sign(
        "nosql.operator",
        5,
        r"\$(?:ne|gte?|lte?|where|regex|n?in|exists|or|and|nor|elemmatch|expr|jsonschema)\b['\"]?\s?[:\]}]",
        r"^\$(?:ne|gte?|lte?|where|regex|n?in|exists|or|and|nor|expr)$",
        text=True,
    ),
)

MARKUP: Final = (
    _sign("xss.script", 5, r"<\s?/?\s?script\b", r"<\s?/?\s?script[/\s>]", text=True),
    _sign(
        "xss.handler",
        5,
        rf"<[a-z!/?][^>]{{0,300}}[\s\"'`/;,]{_EVENT}\s?=",
        rf"[\"'`]\s?/?\s?{_EVENT}\s?=\s?[\"'`]?[a-z(]",
        text=True,
    ),
    _sign(
        "xss.active_tag",
        5,
        r"<\s?/?\s?(?:iframe|object|embed|applet|base|frameset|svg|math|marquee|bgsound|isindex|i?layer|xss|meta)"
        r"[\s/>]",
        text=True,
    ),
    _sign(
        "xss.tag",
        5,
        r"<\s?(?:img|image|body|input|video|audio|source|form|button|link|style|table|td|div|details|textarea|select"
        r"|template|a|br|p|b|title|xml|html|head|keygen|track|animate|set|\w{1,20})\b[^<>]{0,200}[\s/\"'`]"
        r"(?:src|href|data|action|formaction|style|background|dynsrc|lowsrc|xlink:href|srcdoc|poster|size|id|value"
        r"|datasrc|folder|type|rel)\s?=",
        r"<\s?(?:style|img|body|link|xml|html|br|title)\b",
        r"<!--|--!?>|<!\[",
    ),
    _sign(
        "xss.scheme",
        5,
        r"(?:j\s?a\s?v\s?a|v\s?b|l\s?i\s?v\s?e)\s?s\s?c\s?r\s?i\s?p\s?t\s?:[^\s]",
        r"\bdata:(?:text/html|image/svg|[^,\s]{0,40};base64)",
        r"\bmocha:\S",
        text=True,
    ),
    _sign(
        "xss.dom",
        5,
        r"\b(?:document|window|location|self|top|parent|globalthis|this)\s?[.\[]\s?['\"]?"
        r"(?:cookie|domain|location|write|href|innerhtml|onerror|hash|name|frames|body|alert|eval|constructor)\b",
        r"\bstring\.fromcharcode\s?\(",
        r"\.(?:inner|outer)html\b\s?=",
        text=True,
    ),
    _sign(
        "xss.call",
        5,
        r"\b(?:alert|prompt|confirm|eval|settimeout|setinterval|fetch|atob|importscripts|function)\s?[(`]",
        r"expression\s?\(",
        r"-moz-binding",
        r"behaviou?r\s?:\s?url",
        r"@import\b",
        r"\bimport\s?\(",
    ),
    _sign("xss.prototype", 5, r"__proto__|constructor\s?[.\[]\s?['\"]?prototype", text=True),
    _sign("xml.entity", 5, r"<!(?:entity|doctype|element|attlist)\b", r"<xsl:", r"xmlns:xi\b", text=True),
    _sign("xml.document", 5, r"<\?xml\b", r"<!\[cdata\[", r"\b(?:document|doc|system-property)\s?\(\s?['\"]"),
)

FILES: Final = (
    _sign("path.up", 5, r"(?:\.\.[/\\]{1,3}\.{0,2}){2}", r"\.\.;/", r"\.\.%(?:2f|5c|c0)", text=True),
    _sign("path.up_once", 5, r"\.\.[/\\]", r"[/\\]\.\.$", r"^\.{2,}$"),
    _sign(
        "path.system_file",
        5,
        r"[/\\]etc[/\\]{1,3}(?:passwd|shadow|group|hosts|issue|sudoers|crontab|fstab|motd|ssh|nginx|apache2?|my\.cnf)",
        r"[/\\]proc[/\\]{1,3}(?:self|version|cpuinfo|\d+)\b",
        r"\.ssh/(?:id_|auth)",
        r"\.bash_history\b",
        r"\bwp-config\.",
        r"\.htpasswd\b",
        r"[/\\]\.git/(?:config|head|index)",
        r"[/\\]\.aws/cred",
        text=True,
    ),
    _sign(
        "path.named_file",
        5,
        r"(?:^|[\s/\\])\.(?:htaccess|env|git|svn|ssh|aws)(?:$|[/\\\s.])",
        r"^/(?:etc|var|proc|root|home|usr|opt)/",
        r"\bboot\.ini\b|\bwin\.ini\b|\bweb\.config\b|\bglobal\.asa\b",
        r"[a-z]:[/\\]{1,2}(?:windows|winnt|boot|inetpub|apache)",
        r"system32\b",
    ),
    _sign(
        "url.inner",
        5,
        r"\b(?:https?|ftp)://(?:[^/@\s]{0,60}@)?(?:127\.|localhost\b|0\.0\.0\.0|0x[0-9a-f]{2,}|\[:?:|169\.254\.|10\.\d+\.|192\.168\."
        r"|172\.(?:1[6-9]|2\d|3[01])\.|metadata\b|\d{8,10}\b)",
    ),
    _sign(
        "url.wrapper",
        5,
        r"\b(?:php|phar|gopher|expect|netdoc|compress\.\w{2,8}|ogg|zip|glob)://",
        r"\b(?:jar|view-source):\w",
        text=True,
    ),
    _sign(
        "url.scheme",
        5,
        r"\b(?:file|dict|ldaps?|rmi|tftp|sftp|ssh2)://?\S",
        r"^(?:https?|ftp):/{1,3}\S+\.(?:php\d?|jspx?|aspx?|cgi|pl|sh|txt)\b",
    ),
)

CODE: Final = (
    _sign(
        "shell.command",
        5,
        rf"(?:[;|&`\n]|\$\()\s?(?:sudo\s)?(?:/(?:usr/)?s?bin/)?{_COMMANDS}\s(?:-\w|/\w|https?:|\$|~|\.{{1,2}}/|[|;>])",
        rf"\$\(\s?{_COMMANDS}\b[^)]{{0,80}}\)",
        rf"`\s?{_COMMANDS}\s[^`]{{1,80}}`",
        r"/dev/(?:tcp|udp)/",
        r"\$\{?ifs\b",
        r"\bpowershell(?:\.exe)?\s-\w",
        r"\(\s?\)\s?\{\s?[:;_]",
        text=True,
    ),
    _sign(
        "shell.chain",
        5,
        rf"(?:[;|&`\n({{]|\$\()\s?(?:/(?:usr/)?s?bin/)?{_COMMANDS}(?:$|[\s;|&<>`)}}/])",
        r"/(?:usr/(?:local/)?)?s?bin/\w",
        r"\bcmd(?:\.exe)?\s?/[ckv]\b",
        r"%comspec%|%systemroot%|%windir%",
        r"\$\([^)]{1,100}\)",
        r"\$\{[^}]{1,60}[:#%/@^,]",
        r"`[^`]{1,100}`",
        r"\b(?:invoke-expression|invoke-webrequest|new-object)\b",
        r"/\?{2,}/",
        r"~[+-]$",
    ),
    _sign(
        "template.lookup",
        5,
        r"\$\{\s?(?:jndi|env|sys|java|lower|upper|date|ctx|main|script|const|base64|::-)\s?:",
        r"\$\{\$\{",
        text=True,
    ),
    _sign(
        "template.expression",
        5,
        r"\{\{[^{}]{0,100}(?:\d\s?\*\s?['\"]?\d|__|\bconfig\b|\bself\.|\brequest\.|\|\s?attr|lipsum|constructor)[^{}]{0,100}\}\}",
        r"[#$*@]\{[^{}]{0,100}(?:\d\s?[*+]\s?\d|\w\()[^{}]{0,100}\}",
        r"<%[=@!]?[^%]{1,100}%>",
        r"%\{[^{}]{0,60}[(@#]",
        text=True,
    ),
    _sign(
        "code.python",
        5,
        r"__(?:import|class|globals|builtins|subclasses|mro|base|init)__",
        r"\bos\.(?:system|popen)\b",
        r"\bsubprocess\.\w+",
        r"!!python/",
        text=True,
    ),
    _sign(
        "code.java",
        5,
        r"\bjava\.(?:lang|io|util|net)\.\w",
        r"\bjavax?\.\w+\.\w+",
        r"\borg\.(?:apache|springframework|codehaus|hibernate)\.",
        r"\bcom\.(?:sun|mchange|mysql)\.",
        r"\b(?:getruntime|processbuilder|classloader|ysoserial)\b",
        r"\bro0ab|\baced0005",
        text=True,
    ),
    _sign(
        "code.node",
        5,
        r"\bprocess\.(?:mainmodule|binding|env)\b",
        r"\bchild_process\b",
        r"\brequire\s?\(\s?['\"]",
        r"_\$\$nd_func",
        text=True,
    ),
    _sign(
        "code.php",
        5,
        r"<\?(?:php|=)",
        r"\$_(?:get|post|request|cookie|server|files|session)\b",
        r"\bo:\d+:\"",
        r"\b(?:phpinfo|shell_exec"
        r"|passthru|proc_open|call_user_func(?:_array)?|file_get_contents|base64_decode|create_function)\s?\(",
        text=True,
    ),
    _sign("code.call", 3, r"\b(?:system|exec|popen|assert|eval|include|require|print|echo|chr)\s?\("),
    _sign(
        "http.split",
        5,
        r"[\r\n]\s?(?:set-cookie|location|content-type|content-length|transfer-encoding|host)\s?:",
        r"[\r\n]\s?http/\d",
        r"\b(?:get|post|put|head|delete|options|trace)\s/?\S*\shttp/\d",
        text=True,
    ),
    _sign(
        "ldap.filter",
        5,
        r"\)\s?\(\s?[|&!]",
        r"\*\)\s?\(\s?\w+\s?=",
        r"\(\s?[|&!]\s?\(\s?\w+\s?=",
        r"^\*\)|\)\(\w+=\*",
    ),
)

SIGNATURES: Final = (*SQL, *MARKUP, *FILES, *CODE)
SCANNERS: Final = re.compile(
    r"\b(?:sqlmap|nikto|nuclei|masscan|zgrab|wfuzz|dirbuster|gobuster|feroxbuster|acunetix|nessus|openvas|wpscan|hydra"
    r"|havij|w3af|skipfish|arachni|commix|jaeles|whatweb|zmeu|morfeus|fimap|netsparker|burpcollaborator)\b"
)
