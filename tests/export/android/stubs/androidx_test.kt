package androidx.test.platform.app

import android.content.Context
import java.io.File

class Instrumentation {
    val context = Context(File(System.getProperty("pfd.expected")))
    val targetContext = Context(File(System.getProperty("pfd.assets")))
}

object InstrumentationRegistry {
    @JvmStatic fun getInstrumentation() = Instrumentation()
}
